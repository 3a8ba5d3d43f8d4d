//! Options about proxies in front. Data only.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Http;

/// The default fields: the ones that every proxy's manual says to set.
pub(crate) const BELIEVED: &str = "x-forwarded-for,x-forwarded-proto";

options! {
    TRUSTED_PROXIES = row(GROUP, "trusted-proxies", Kind::Text,
        "Proxies that are trusted to tell about their clients: addresses, networks (10.0.0.0/8), \
         unix for all peers of unix sockets, * for all peers. Their forwarded fields set \
         REMOTE_ADDR, wsgi.url_scheme and, on demand, HTTP_HOST; the same fields of other peers \
         are removed from the request. Without this option no peer is trusted and nothing is \
         removed. May be repeated.")
        .many().value("ADDRESS[,NETWORK...]")
        .at_reload();
    TRUSTED_PROXY_HEADERS = row(GROUP, "trusted-proxy-headers", Kind::Text,
        "The fields of trusted proxies that count: x-forwarded-for, x-forwarded-proto, \
         x-forwarded-host, or forwarded. \
         Name only what your proxy sets itself: it hands on all others as the client sent them.")
        .value("FIELD[,FIELD...]").default(BELIEVED)
        .at_reload();
    ENABLE_PROXY_PROTOCOL = row(GROUP, "http-enable-proxy-protocol", Kind::Flag,
        "Expect the PROXY protocol (version 1 or 2) in front of every connection of the HTTP \
         addresses, from \
         --trusted-proxies; without that list: from this machine.")
        .also(&["enable-proxy-protocol"])
        .mapped("uWSGI takes the line where it comes, from anybody; here connections without it \
            are closed");
    PROXY_PROTOCOL = row(GROUP, "proxy-protocol", Kind::Address,
        "Expect the PROXY protocol on this one of the HTTP addresses. May be repeated.")
        .many();
    LOG_X_FORWARDED_FOR = row(GROUP, "log-x-forwarded-for", Kind::Flag,
        "Log the client's address, not the proxy's.")
        .accepted("the request line always has the client's address, if one of --trusted-proxies \
            tells it");
}
