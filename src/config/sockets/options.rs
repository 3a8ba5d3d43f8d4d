//! Options that say where the server listens. Data only.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Listening;

pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:8000";

options! {
    HTTP = row(GROUP, "http", Kind::Address,
        "Serve HTTP here: :9090 (every IPv4 address), 127.0.0.1:9090, [::1]:9090, [::]:9090 (every \
         IPv4 and IPv6 address), port 0 for any \
         free one, or a unix socket (/run/app.sock). May be repeated. Without any address: \
         127.0.0.1:8000.")
        .also(&["httprouter"]).many()
        .mapped("there is no router process in between");
    HTTP_SOCKET = row(GROUP, "http-socket", Kind::Address,
        "The same as --http: one process has no second hop to save.")
        .also(&["http11-socket"]).many()
        .mapped("the same as --http: keep-alive and chunked requests work on both");
    SOCKET = row(GROUP, "socket", Kind::Address,
        "Listen for --protocol here: the uwsgi protocol, unless that says otherwise (nginx: \
         uwsgi_pass). Every client of such a socket is trusted, so keep it on this machine.")
        .short('s').many();
    UWSGI_SOCKET = row(GROUP, "uwsgi-socket", Kind::Address,
        "Listen for the uwsgi protocol here, whatever --protocol says.")
        .many();
    FASTCGI_SOCKET = row(GROUP, "fastcgi-socket", Kind::Address,
        "Listen for FastCGI here (nginx: fastcgi_pass, also with fastcgi_keep_conn).")
        .many();
    FASTCGI_NPH_SOCKET = row(GROUP, "fastcgi-nph-socket", Kind::Address,
        "The same, with HTTP's status line in front of answers instead of Status.")
        .many();
    SCGI_SOCKET = row(GROUP, "scgi-socket", Kind::Address,
        "Listen for SCGI here (nginx: scgi_pass).")
        .many();
    SCGI_NPH_SOCKET = row(GROUP, "scgi-nph-socket", Kind::Address,
        "The same, with HTTP's status line in front of answers instead of Status.")
        .many();
    PROTOCOL = row(GROUP, "protocol",
        Kind::Choice(&["uwsgi", "http", "fastcgi", "scgi", "fastcgi-nph", "scgi-nph"]),
        "What --socket speaks, wherever it stands; uwsgi by default. Also what sockets speak that \
         systemd \
         hands over and no option names: those speak HTTP by default.")
        .also(&["socket-protocol"]);
    LISTEN = row(GROUP, "listen", Kind::Number { min: 1, max: 2_147_483_647 },
        "Connections that the kernel may hold for each listener before they are accepted; it \
         lowers the number to its own limit (somaxconn).")
        .short('l').default("1024");
    CHMOD_SOCKET = row(GROUP, "chmod-socket", Kind::Mode,
        "The file mode of unix sockets, in octal.")
        .also(&["chmod"]).short('C').bare("666");
    VACUUM = row(GROUP, "vacuum", Kind::Flag, "Remove unix sockets and files with the process id \
        at exit.")
        .default("false");
    CHOWN_SOCKET = row(GROUP, "chown-socket", Kind::Text,
        "The owner of unix sockets, by name or number.")
        .value("USER[:GROUP]");
    REUSE_PORT = row(GROUP, "reuse-port", Kind::Flag,
        "Let other processes bind to the same port (SO_REUSEPORT).");
    FREEBIND = row(GROUP, "freebind", Kind::Flag,
        "Bind to an address that the machine does not have yet (Linux).");
    SO_KEEPALIVE = row(GROUP, "so-keepalive", Kind::Flag,
        "Let the kernel probe idle TCP connections (SO_KEEPALIVE).");
    TCP_NODELAY = row(GROUP, "tcp-nodelay", Kind::Flag, "Send small packets at once (TCP_NODELAY).")
        .mapped("always so");
    ABSTRACT_SOCKET = row(GROUP, "abstract-socket", Kind::Flag,
        "Put unix sockets into Linux's abstract namespace: no file, gone with the process. The \
         same as @ in front of each \
         name.")
        .short('a');
    SHARED_SOCKET = row(GROUP, "shared-socket", Kind::Address,
        "An address to be named by its number: --http =0 is the first of them. May be repeated.")
        .also(&["undeferred-shared-socket"]).many()
        .mapped("it is opened where it is named; all sockets are opened before privileges are \
            dropped");
    SOCKET_SNDBUF = row(GROUP, "socket-sndbuf", Kind::Bytes { min: 0, max: 1 << 30 },
        "Bytes of the kernel's send buffer of each connection (SO_SNDBUF).");
    SOCKET_RCVBUF = row(GROUP, "socket-rcvbuf", Kind::Bytes { min: 0, max: 1 << 30 },
        "Bytes of the kernel's receive buffer of each connection (SO_RCVBUF).");
}
