//! Actions of uWSGI that are not there: what they would need, and the way out. Data only.

/// Why an action of uWSGI cannot be had, as the end of a sentence; `None` if it is none.
pub fn refusal(name: &str) -> Option<&'static str> {
    let family = FAMILIES.iter().find(|(names, _)| names.contains(&name));
    family.map(|(_, why)| *why)
}

const FAMILIES: &[(&[&str], &str)] = &[
    (
        &[
            "http",
            "httpdumb",
            "proxyhttp",
            "httpconnect",
            "proxyhttpconnect",
            "uwsgi",
            "proxyuwsgi",
            "fcgi",
            "fcgiauth",
        ],
        "it passes requests on to other servers; let nginx, Caddy or traefik in front do that",
    ),
    (
        &[
            "cache",
            "cache-continue",
            "cachevar",
            "cacheset",
            "cachestore",
            "cache-store",
            "cacheinc",
            "cachedec",
            "cachemul",
            "cachediv",
        ],
        "rules do not use the cache in this version; the application can",
    ),
    (
        &[
            "memcached",
            "memcached-continue",
            "memcachedstore",
            "memcached-store",
            "redis",
            "redis-continue",
            "redisstore",
            "redis-store",
        ],
        "it speaks with another server; the application can",
    ),
    (
        &[
            "rpc",
            "call",
            "rpcret",
            "rpcblob",
            "rpcnext",
            "rpcraw",
            "rpcvar",
            "symcall",
            "symcall-next",
        ],
        "there are no functions to be called by name in this version; the application can call \
         them",
    ),
    (
        &["spool"],
        "rules put no tasks into the spooler in this version; the application can",
    ),
    (
        &["gzip"],
        "responses are not compressed in this version; the proxy in front can do it",
    ),
    (
        &[
            "metricinc",
            "metricdec",
            "metricmul",
            "metricdiv",
            "metricset",
        ],
        "there are no metrics in this version",
    ),
    (
        &[
            "toupper", "template", "tofile", "to-file", "fixcl", "forcecl", "xslt", "toxslt",
        ],
        "it changes the body of a response, and bodies pass as the application gave them; the \
         application can do it",
    ),
    (
        &["disableheaders"],
        "a response without a head is none; remheader leaves fields out",
    ),
    (
        &["access"],
        "it asks libwrap; the conditions ipv4in and ipv6in know addresses",
    ),
    (
        &[
            "ldapauth",
            "ldapauth-next",
            "radius",
            "radius-next",
            "spnego",
            "spnego-next",
        ],
        "it asks another server for each request; basicauth knows htpasswd files",
    ),
    (
        &["cgi", "cgihelper", "ssi", "gridfs", "xmldir"],
        "it needs a plugin of another language; applications are Python",
    ),
    (
        &["chdir"],
        "all requests share the process and its directory; the option chdir sets it at start",
    ),
    (
        &["setfile", "sethome"],
        "applications are loaded at start, not by a request; mount them and use setapp",
    ),
    (
        &["setmodifier1", "setmodifier2"],
        "there is one kind of application, and so no modifier chooses",
    ),
    (
        &["offload"],
        "slow clients hold no worker here, so nothing has to be offloaded; leave it out",
    ),
];
