//! Static files, and files that applications name. Data only.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Static;

options! {
    STATIC_MAP = row(GROUP, "static-map", Kind::Text,
        "Serve the files of a directory, or one file, for a URL prefix, which ends at a slash of \
         the \
         path: /static is none of /staticfile. What is not there goes to the application. May be \
         repeated.")
        .many().value("PREFIX=PATH")
        .at_reload();
    STATIC_MAP2 = row(GROUP, "static-map2", Kind::Text,
        "As static-map, with the prefix kept: /static=/srv serves /srv/static.")
        .many().value("PREFIX=PATH")
        .at_reload();
    STATIC_CHECK = row(GROUP, "static-check", Kind::Path,
        "Serve a file of this directory when the path of a request leads to one. May be repeated.")
        .also(&["check-static"]).many().value("DIR")
        .at_reload();
    STATIC_INDEX = row(GROUP, "static-index", Kind::Text,
        "The file that is served for a directory, e.g. index.html; without it directories are left \
         to \
         the application. May be repeated.")
        .many().value("NAME")
        .at_reload();
    STATIC_SKIP_EXT = row(GROUP, "static-skip-ext", Kind::Text,
        "Endings that are never served as files, e.g. .py. May be repeated.")
        .many().value("ENDING")
        .at_reload();
    STATIC_SAFE = row(GROUP, "static-safe", Kind::Path,
        "A directory that symbolic links may lead to; a link to anywhere else outside is not \
         followed. May be repeated.")
        .many().value("DIR")
        .at_reload();
    MIME_FILE = row(GROUP, "mime-file", Kind::Path,
        "A file with media types, in the format of /etc/mime.types. They come before those of the \
         built-in \
         table. Without it only the table is used. May be repeated.")
        .also(&["mimefile"]).many()
        .at_reload();
    STATIC_EXPIRES = row(GROUP, "static-expires", Kind::Text,
        "Let clients keep files for so many seconds if the name on disk matches.")
        .many().value("'REGEX SECONDS'")
        .at_reload();
    STATIC_EXPIRES_MTIME = row(GROUP, "static-expires-mtime", Kind::Text,
        "As static-expires, counted from the file's last change.")
        .many().value("'REGEX SECONDS'")
        .at_reload();
    STATIC_EXPIRES_TYPE = row(GROUP, "static-expires-type", Kind::Text,
        "Let clients keep files of this media type, for so many seconds.")
        .many().value("TYPE=SECONDS")
        .at_reload();
    STATIC_EXPIRES_TYPE_MTIME = row(GROUP, "static-expires-type-mtime", Kind::Text,
        "As static-expires-type, counted from the file's last change.")
        .many().value("TYPE=SECONDS")
        .at_reload();
    STATIC_EXPIRES_URI = row(GROUP, "static-expires-uri", Kind::Text,
        "Let clients keep files for so many seconds if the request target, with its query, \
         matches.")
        .many().value("'REGEX SECONDS'")
        .at_reload();
    STATIC_EXPIRES_URI_MTIME = row(GROUP, "static-expires-uri-mtime", Kind::Text,
        "As static-expires-uri, counted from the file's last change.")
        .many().value("'REGEX SECONDS'")
        .at_reload();
    STATIC_EXPIRES_PATH_INFO = row(GROUP, "static-expires-path-info", Kind::Text,
        "Let clients keep files for so many seconds if the path of the request matches.")
        .many().value("'REGEX SECONDS'")
        .at_reload();
    STATIC_EXPIRES_PATH_INFO_MTIME = row(GROUP, "static-expires-path-info-mtime", Kind::Text,
        "As static-expires-path-info, counted from the file's last change.")
        .many().value("'REGEX SECONDS'")
        .at_reload();
    STATIC_GZIP = row(GROUP, "static-gzip", Kind::Text,
        "Serve the compressed twin (.br, .zst, .gz) of a file if its name on disk matches and the \
         client accepts it.")
        .many().value("REGEX")
        .at_reload();
    STATIC_GZIP_ALL = row(GROUP, "static-gzip-all", Kind::Flag,
        "Serve the compressed twin (.br, .zst, .gz) of every file that has one.")
        .at_reload();
    STATIC_GZIP_DIR = row(GROUP, "static-gzip-dir", Kind::Path,
        "Serve the compressed twins of files if the name on disk begins so.")
        .also(&["static-gzip-prefix"]).many().value("DIR")
        .at_reload();
    STATIC_GZIP_EXT = row(GROUP, "static-gzip-ext", Kind::Text,
        "Serve the compressed twins of files with this ending, e.g. .css.")
        .also(&["static-gzip-suffix"]).many().value("ENDING")
        .at_reload();
    OFFLOAD_THREADS = row(GROUP, "offload-threads", Kind::Number { min: 0, max: 1024 },
        "Threads that open static files, for disks that may be slow to answer; with 0 the thread \
         that reads the request opens them.")
        .also(&["offload-thread"]).default("0")
        .mapped("one pool for all; sending never takes a worker's time, with or without it");
    FILE_SERVE_MODE = row(GROUP, "file-serve-mode", Kind::Text,
        "Let the proxy in front send static files: x-accel-redirect (nginx) or x-sendfile (apache, \
         lighttpd). Without it they are sent by the server itself.")
        .also(&["fileserve-mode"]).value("WORD")
        .at_reload();
    X_SENDFILE = row(GROUP, "x-sendfile", Kind::Path,
        "A directory of files that the application may send by naming one in an X-Sendfile header. \
         May be repeated.")
        .many().value("DIR")
        .at_reload();
    X_ACCEL_REDIRECT = row(GROUP, "x-accel-redirect", Kind::Text,
        "Files that the application may have sent by an X-Accel-Redirect header: an address below \
         the prefix means a file below the path. Clients cannot ask for it. May be repeated.")
        .many().value("PREFIX=PATH")
        .at_reload();
}
