//! Options of TLS. Data only.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Tls;

options! {
    HTTPS = row(GROUP, "https", Kind::Text,
        "Serve HTTPS here: ADDRESS,CERT,KEY[,CIPHERS[,CA]], files in PEM. CA asks clients for a \
         certificate that it has signed; !CA turns those away that have none. Files are relative \
         to where the server was started. May be repeated.")
        .many().value("ADDRESS,CERT,KEY")
        .mapped("ciphers are the library's: all that it has are safe, and a list is only warned \
            about; a wrong client certificate is refused, which uWSGI forgets");
    HTTPS_SOCKET = row(GROUP, "https-socket", Kind::Text,
        "The same as --https.")
        .many().value("ADDRESS,CERT,KEY")
        .mapped("the same as --https: there is no router in between");
    HTTPS2 = row(GROUP, "https2", Kind::Text,
        "The same as --https, in other words: \
         addr=ADDRESS,cert=CERT,key=KEY[,ciphers=LIST][,clientca=CA].")
        .many().value("KEY=VALUE,...")
        .mapped("as --https; spdy is not spoken");
    HTTP_TO_HTTPS = row(GROUP, "http-to-https", Kind::Text,
        "Answer every request on this address with a redirect to https on the same host, at PORT \
         if it is given. May be repeated.")
        .many().value("ADDRESS[,PORT]");
    HTTPS_EXPORT_CERT = row(GROUP, "https-export-cert", Kind::Flag,
        "Hand the client's certificate to the application, in PEM, as HTTPS_CC. Its subject is \
         HTTPS_DN, with and without this option.");
    SNI = row(GROUP, "sni", Kind::Text,
        "A certificate for clients that ask for this host, on every https address: 'HOST \
         CERT,KEY'. \
         *.example.org stands for every name one label below. May be repeated.")
        .many().value("'HOST CERT,KEY'")
        .mapped("clients' certificates are asked for on the whole address, not for one host");
    SNI_REGEXP = row(GROUP, "sni-regexp", Kind::Text,
        "As --sni, for every host that matches a regular expression.")
        .many().value("'REGEXP CERT,KEY'")
        .mapped("expressions have no look-around and no back-references");
    SNI_DIR = row(GROUP, "sni-dir", Kind::Path,
        "Certificates for hosts, in a directory: HOST.crt and HOST.key, also *.example.org.crt.")
        .mapped("the directory is read at start and at a reload, not at each connection");
    SSL_VERBOSE = row(GROUP, "ssl-verbose", Kind::Flag, "Log TLS handshakes that fail, and why.");
}
