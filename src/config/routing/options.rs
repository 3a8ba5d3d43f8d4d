//! Options of internal routing. Data only.
//!
//! The rules of a chain run in the order in which they are written, whatever their options are
//! called: so a chain is one row, and the option's name says what is matched.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Routing;

options! {
    ROUTE = row(GROUP, "route", Kind::Text,
        "A rule for requests, before the application: an expression and an action, such as \
         '^/old/(.*) redirect-301:/new/$1'. The name says what the expression is matched with; \
         route-if has a condition in its place, route-run none. docs/routing.md has the actions.")
        .also(&["route-host", "route-uri", "route-qs", "route-remote-addr", "route-user-agent",
            "route-remote-user", "route-referer", "route-label", "route-if", "route-if-not",
            "route-run"])
        .many().value("'REGEX ACTION:ARGUMENT'")
        .at_reload();
    ERROR_ROUTE = row(GROUP, "error-route", Kind::Text,
        "A rule for responses when their status is known, such as 'error-route-status = 404 \
         redirect:/'.")
        .also(&["error-route-status", "error-route-host", "error-route-uri", "error-route-qs",
            "error-route-remote-addr", "error-route-user-agent", "error-route-remote-user",
            "error-route-referer", "error-route-label", "error-route-if", "error-route-if-not",
            "error-route-run"])
        .many().value("'REGEX ACTION:ARGUMENT'")
        .mapped("they run when the head is complete, and see its headers")
        .at_reload();
    RESPONSE_ROUTE = row(GROUP, "response-route", Kind::Text,
        "A rule for responses when their head is about to leave, such as 'response-route-status = \
         200 addheader:X-Frame-Options: DENY'.")
        .also(&["response-route-status", "response-route-host", "response-route-uri",
            "response-route-qs", "response-route-remote-addr", "response-route-user-agent",
            "response-route-remote-user", "response-route-referer", "response-route-label",
            "response-route-if", "response-route-if-not", "response-route-run"])
        .many().value("'REGEX ACTION:ARGUMENT'")
        .mapped("remheader takes headers of the application out, too")
        .at_reload();
    FINAL_ROUTE = row(GROUP, "final-route", Kind::Text,
        "A rule for finished requests, before they are logged, such as 'final-route-status = 200 \
         donotlog:'.")
        .also(&["final-route-status", "final-route-host", "final-route-uri", "final-route-qs",
            "final-route-remote-addr", "final-route-user-agent", "final-route-remote-user",
            "final-route-referer", "final-route-label", "final-route-if", "final-route-if-not",
            "final-route-run"])
        .many().value("'REGEX ACTION:ARGUMENT'")
        .mapped("an action that answers is an error: it would be without effect")
        .at_reload();
    ROUTER_LIST = row(GROUP, "router-list", Kind::Flag,
        "Print the actions and conditions of rules and leave.")
        .also(&["routers-list"])
        .mapped("it prints the conditions, too")
        .at_start();
}
