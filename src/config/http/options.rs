//! Options of the HTTP connection. Data only.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Http;

options! {
    HTTP_KEEPALIVE = row(GROUP, "http-keepalive", Kind::Seconds,
        "Seconds that a connection may stay open between two requests; 0 closes it after each \
         response. The default is longer than nginx's for its side of the connection (60), so \
         that the proxy closes first.")
        .also(&["keep-alive", "keepalive", "http-keep-alive"]).bare("75").default("75")
        .mapped("keep-alive is on from the start")
        .at_reload();
    READY_PATH = row(GROUP, "ready-path", Kind::Text,
        "A path that the server answers itself, with 200 while it is ready for requests and 503 \
         when it is not: it stops, or \
         the application could not be loaded.")
        .also(&["readiness-path"]).value("/PATH")
        .at_reload();
    ADD_HEADER = row(GROUP, "add-header", Kind::Text,
        "Add a field to every response. May be repeated.")
        .many().value("'NAME: VALUE'")
        .at_reload();
    DEL_HEADER = row(GROUP, "rem-header", Kind::Text,
        "Leave a field out of every response, the server's own Server and Date included. May be \
         repeated.")
        .also(&["del-header"]).many().value("NAME")
        .at_reload();
    HTTP_VAR = row(GROUP, "http-var", Kind::Text,
        "Add a variable to the environ of every request over HTTP. What the request says itself is \
         stronger. May be repeated.")
        .many().value("NAME=VALUE")
        .at_reload();
}
