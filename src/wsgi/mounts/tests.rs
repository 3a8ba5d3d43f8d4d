//! The table of mounts: uWSGI's rules one by one, and the lookup against a plain model of it.

use proptest::prelude::*;

use super::*;

const MANAGED: Rules = Rules {
    manages_script_name: true,
    no_default_app: false,
    ignores_script_name: false,
};

/// `/shop`, `example.org/shop` and so on: what stands before the first slash is the host.
fn table(places: &[&str], rules: Rules) -> Mounts {
    let place = |text: &&str| match text.find('/') {
        Some(0) => Place::new(None, text),
        Some(at) => Place::new(Some(&text[..at]), &text[at..]),
        None if text.is_empty() => Place::new(None, ""),
        None => Place::new(Some(text), ""),
    };
    Mounts::new(places.iter().map(place).collect(), rules)
}

fn chosen(mounts: &Mounts, host: &str, path: &str) -> Option<(usize, usize)> {
    mounts
        .choose(host.as_bytes(), path.as_bytes())
        .map(|chosen| (chosen.app, chosen.prefix_bytes))
}

#[test]
fn slashes_around_a_prefix_do_not_matter() {
    let shop = Place::new(None, "/shop");
    for same in ["shop", "/shop/", "shop/", "//shop//"] {
        assert_eq!(Place::new(None, same), shop);
    }
    for root in ["", "/", "//"] {
        assert_eq!(Place::new(None, root), Place::default());
    }
    assert_eq!(shop.mountpoint(), "/shop");
    assert_eq!(
        Place::new(Some("Example.ORG."), "/a/").mountpoint(),
        "example.org|/a"
    );
}

#[test]
fn the_longest_prefix_wins_at_whole_segments() {
    let mounts = table(&["", "/a", "/a/b", "/ab"], MANAGED);
    for (path, app, prefix_bytes) in [
        ("/", 0, 0),
        ("/x", 0, 0),
        ("/a", 1, 2),
        ("/a/", 1, 2),
        ("/a/x", 1, 2),
        ("/a/bc", 1, 2),
        ("/a/b", 2, 4),
        ("/a/b/", 2, 4),
        ("/a/b%2Fc", 2, 4),
        ("/a%2fb/c", 2, 4),
        ("/%61/%62", 2, 4),
        ("/ab", 3, 3),
        ("/abc", 0, 0),
        ("//a", 0, 0),
        ("/A", 0, 0),
        ("/a%", 0, 0),
        ("/a%4", 0, 0),
        ("/%61%2Fx", 1, 2),
        ("*", 0, 0),
        ("", 0, 0),
    ] {
        assert_eq!(
            chosen(&mounts, "", path),
            Some((app, prefix_bytes)),
            "{path}"
        );
    }
}

#[test]
fn a_percent_sign_of_a_prefix_means_itself() {
    let mounts = table(&["", "/100%"], MANAGED);
    assert_eq!(chosen(&mounts, "", "/100%"), Some((1, 5)));
    assert_eq!(chosen(&mounts, "", "/100%25/x"), Some((1, 5)));
    assert_eq!(chosen(&mounts, "", "/100%2Fx"), Some((0, 0)));
}

#[test]
fn the_default_is_the_root_else_the_first_for_every_host() {
    assert_eq!(table(&["/a", "/"], MANAGED).default_app(), Some(1));
    assert_eq!(table(&["/a", "/b"], MANAGED).default_app(), Some(0));
    assert_eq!(table(&["a.example", "/b"], MANAGED).default_app(), Some(1));
    assert_eq!(table(&["a.example"], MANAGED).default_app(), None);
    assert_eq!(table(&[], MANAGED).default_app(), None);
    let mounts = table(&["/a", "/b"], MANAGED);
    assert_eq!(chosen(&mounts, "", "/c/d"), Some((0, 0)));
}

#[test]
fn without_a_default_only_mounts_are_served() {
    let rules = Rules {
        no_default_app: true,
        ..MANAGED
    };
    let mounts = table(&["/a", "/b"], rules);
    assert_eq!(chosen(&mounts, "", "/b/x"), Some((1, 2)));
    assert_eq!(chosen(&mounts, "", "/c"), None);
    assert_eq!(chosen(&mounts, "", "/"), None);
    // An application at the root is mounted there, default or not.
    assert_eq!(chosen(&table(&["", "/a"], rules), "", "/c"), Some((0, 0)));
    assert_eq!(chosen(&table(&[""], rules), "", "/c"), Some((0, 0)));
    assert_eq!(chosen(&table(&[], rules), "", "/c"), None);
}

#[test]
fn hosts_come_first_then_domains_then_every_host() {
    let mounts = table(
        &[
            "",
            "/a",
            "a.example",
            "a.example/a/b",
            "*.example/a",
            "*.deep.example",
            "[::1]",
            "b.example/x",
        ],
        MANAGED,
    );
    for (host, path, app, prefix_bytes) in [
        ("other", "/a/b", 1, 2),
        ("", "/", 0, 0),
        ("a.example", "/", 2, 0),
        ("A.EXAMPLE:8080", "/a/x", 2, 0),
        ("a.example.", "/a/b", 3, 4),
        ("a.example.:80", "/a/b", 3, 4),
        ("c.example", "/a", 4, 2),
        // No mount of its own holds it, nor one of its domain.
        ("c.example", "/b", 0, 0),
        ("b.example", "/x/y", 7, 2),
        ("b.example", "/a", 4, 2),
        ("x.deep.example", "/a", 5, 0),
        ("deep.example", "/a", 4, 2),
        ("example", "/a", 1, 2),
        (".example", "/a", 1, 2),
        ("notexample", "/a", 1, 2),
        ("[::1]:8000", "/", 6, 0),
        ("[::1]", "/", 6, 0),
        ("[::1", "/", 0, 0),
    ] {
        assert_eq!(
            chosen(&mounts, host, path),
            Some((app, prefix_bytes)),
            "{host} {path}"
        );
    }
}

#[test]
fn a_path_chooses_only_where_script_name_is_managed() {
    let mounts = table(&["", "/a", "a.example", "a.example/b"], Rules::default());
    assert_eq!(chosen(&mounts, "", "/a/x"), Some((0, 0)));
    assert_eq!(chosen(&mounts, "a.example", "/b"), Some((2, 0)));
    let unreachable: Vec<String> = mounts
        .unreachable_by_http()
        .map(Place::mountpoint)
        .collect();
    assert_eq!(unreachable, ["/a", "a.example|/b"]);
    let first = table(&["/a", "/b"], Rules::default());
    assert_eq!(chosen(&first, "", "/b"), Some((0, 0)));
    assert_eq!(first.unreachable_by_http().count(), 1);
    assert_eq!(
        table(&["/a", "/b"], MANAGED).unreachable_by_http().count(),
        0
    );
}

#[test]
fn one_application_for_all_is_seen() {
    assert!(Mounts::one().is_one_for_all);
    assert!(table(&["/"], MANAGED).is_one_for_all);
    assert!(table(&["/a"], Rules::default()).is_one_for_all);
    for (places, rules) in [
        (&["/a"][..], MANAGED),
        (&["a.example"], MANAGED),
        (&["", "/a"], MANAGED),
        (&[], MANAGED),
    ] {
        assert!(!table(places, rules).is_one_for_all, "{places:?}");
    }
}

/// The application that variables choose, and the bytes of PATH_INFO that become SCRIPT_NAME.
#[track_caller]
fn by_variables(mounts: &Mounts, variables: [&str; 4], expected: Option<(usize, usize)>) {
    let [appid, host, script_name, path_info] = variables.map(str::as_bytes);
    let found = mounts.choose_as_told(&FrontEnd {
        appid,
        host,
        script_name,
        path: Path::Info(path_info),
    });
    let found = found.map(|chosen| (chosen.app, chosen.prefix_bytes));
    assert_eq!(found, expected, "{variables:?}");
}

#[test]
fn a_front_end_names_the_application_by_script_name() {
    let mounts = table(
        &["", "/a", "/b", "v.example/a", "v.example"],
        Rules::default(),
    );
    by_variables(&mounts, ["", "", "", "/a/x"], Some((0, 0)));
    by_variables(&mounts, ["", "", "/a", "/x"], Some((1, 0)));
    by_variables(&mounts, ["", "", "/a/", "/x"], Some((1, 0)));
    by_variables(&mounts, ["", "", "/a/x", "/x"], Some((0, 0)));
    by_variables(&mounts, ["", "", "/c", "/x"], Some((0, 0)));
    by_variables(&mounts, ["", "V.example:80", "/a", "/x"], Some((3, 0)));
    by_variables(&mounts, ["", "v.example", "", "/x"], Some((4, 0)));
    by_variables(&mounts, ["", "v.example", "/b", "/x"], Some((2, 0)));
    by_variables(&mounts, ["/b", "", "/a", "/x"], Some((2, 0)));
    by_variables(&mounts, ["v.example|/a", "", "", "/x"], Some((3, 0)));
    by_variables(&mounts, ["v.example|", "", "", "/x"], Some((4, 0)));
    by_variables(&mounts, ["absent", "", "/a", "/x"], Some((0, 0)));
    let strict = Rules {
        no_default_app: true,
        ..Rules::default()
    };
    let mounts = table(&["/a", "/b"], strict);
    by_variables(&mounts, ["", "", "/c", "/x"], None);
    by_variables(&mounts, ["", "", "", "/a"], None);
    by_variables(&mounts, ["absent", "", "/a", "/x"], None);
    by_variables(&mounts, ["", "", "/b", "/x"], Some((1, 0)));
    let blind = Rules {
        ignores_script_name: true,
        ..Rules::default()
    };
    by_variables(
        &table(&["", "/a"], blind),
        ["", "", "/a", "/x"],
        Some((0, 0)),
    );
}

#[test]
fn a_managed_path_comes_before_the_script_name_that_was_sent() {
    let mounts = table(&["", "/a", "/b", "v.example/a"], MANAGED);
    by_variables(&mounts, ["", "", "", "/a/x"], Some((1, 2)));
    by_variables(&mounts, ["", "", "/b", "/a/x"], Some((1, 2)));
    by_variables(&mounts, ["", "", "/b", "/x"], Some((2, 0)));
    by_variables(&mounts, ["", "v.example", "", "/a"], Some((3, 2)));
    by_variables(&mounts, ["/b", "", "", "/a/x"], Some((2, 2)));
    by_variables(&mounts, ["", "", "", "/c"], Some((0, 0)));
    // It is decoded already: what looks like an escape is none.
    by_variables(&mounts, ["", "", "", "/%61/x"], Some((0, 0)));
}

#[test]
fn the_variables_of_a_request_are_read() {
    let mounts = table(&["", "/a", "/b", "v.example/a"], MANAGED);
    let choose = |pairs: &[(&str, &str)]| {
        let mut variables = cgi::Variables::default();
        for (name, value) in pairs.iter().chain(&[("REQUEST_METHOD", "GET")]) {
            let at = variables.bytes().len();
            variables.extend(name.as_bytes());
            let middle = variables.bytes().len();
            variables.extend(value.as_bytes());
            let end = variables.bytes().len();
            let added = variables.add(
                at..middle,
                middle..end,
                &crate::protocol::http::Limits::default(),
            );
            assert!(added.is_ok(), "{name}");
        }
        let chosen = mounts.choose_for(&Head::from(variables));
        chosen.map(|chosen| (chosen.app, chosen.prefix_bytes))
    };
    assert_eq!(choose(&[("PATH_INFO", "/a/x")]), Some((1, 2)));
    assert_eq!(
        choose(&[("SCRIPT_NAME", "/b"), ("PATH_INFO", "/x")]),
        Some((2, 0))
    );
    assert_eq!(
        choose(&[("UWSGI_APPID", "/b"), ("PATH_INFO", "/x")]),
        Some((2, 0))
    );
    let host = ("HTTP_HOST", "v.example:80");
    assert_eq!(choose(&[host, ("PATH_INFO", "/a")]), Some((3, 2)));
    // Without PATH_INFO it is the target's path.
    assert_eq!(choose(&[("REQUEST_URI", "/%61/x?/b")]), Some((1, 2)));
    assert_eq!(
        choose(&[("SCRIPT_NAME", "/b"), ("REQUEST_URI", "/b/a")]),
        Some((2, 0))
    );
    assert_eq!(choose(&[]), Some((0, 0)));
}

/// What [`Mounts::choose`] has to find under `--manage-script-name`, as plainly as it can be said.
fn model(places: &[(Option<String>, String)], host: &str, path: &[u8]) -> Option<(usize, usize)> {
    let mut decoded = Vec::new();
    if path != b"*" {
        decoded.extend(Decoded(path));
    }
    let holds = |prefix: &str| {
        decoded
            .strip_prefix(prefix.as_bytes())
            .is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest[0] == b'/')
    };
    let best = |wanted: Option<&str>| {
        let all = places.iter().enumerate();
        all.filter(|(_, (host, prefix))| host.as_deref() == wanted && holds(prefix))
            .max_by_key(|(app, (_, prefix))| (prefix.len(), std::cmp::Reverse(*app)))
            .map(|(app, (_, prefix))| (app, prefix.len()))
    };
    let first = places.iter().position(|(host, _)| host.is_none());
    best(Some(host))
        .or(best(None))
        .or(first.map(|app| (app, 0)))
}

proptest! {
    #[test]
    fn the_lookup_agrees_with_the_model(
        places in prop::collection::vec((prop::option::of("[xy]"), "(/[ab%]{1,2}){0,2}"), 0..6),
        host in "[xyz]",
        path in "(/|[ab]|%61|%2F|%|\\*){0,6}",
    ) {
        let table = places.iter().map(|(host, prefix)| Place::new(host.as_deref(), prefix));
        let mounts = Mounts::new(table.collect(), MANAGED);
        let found = mounts.choose(host.as_bytes(), path.as_bytes());
        prop_assert_eq!(found.map(|c| (c.app, c.prefix_bytes)), model(&places, &host, path.as_bytes()));
    }

    #[test]
    fn no_bytes_make_it_panic(
        host in prop::collection::vec(any::<u8>(), 0..12),
        path in prop::collection::vec(prop_oneof![Just(b'/'), Just(b'%'), Just(b'a'), any::<u8>()], 0..12),
    ) {
        for rules in [MANAGED, Rules::default()] {
            let mounts = table(&["/a", "/a/%", "x.y", "*.y/a", "[::1]/a"], rules);
            let _any = mounts.choose(&host, &path);
            let _any = mounts.choose_as_told(&FrontEnd {
                appid: &path, host: &host, script_name: &path, path: Path::Uri(&path),
            });
            let _any = mounts.choose_as_told(&FrontEnd {
                appid: b"", host: &host, script_name: &path, path: Path::Uri(&path),
            });
        }
    }
}
