//! Tests of the language.

use super::*;

fn why(option: &str, text: &str) -> String {
    parse(option, text).expect_err(text)
}

#[test]
fn options_name_chain_and_subject() {
    for (option, chain, subject) in [
        ("route", Chain::Request, Subject::Path),
        ("route-host", Chain::Request, Subject::Host),
        ("error-route", Chain::Error, Subject::Path),
        ("response-route-uri", Chain::Response, Subject::Uri),
        ("final-route-remote-user", Chain::Final, Subject::RemoteUser),
    ] {
        let (found, step) = parse(option, "^/a log:x").expect(option);
        assert_eq!(found, chain, "{option}");
        let Step::Rule(rule) = step else {
            panic!("{option} is no rule");
        };
        assert!(
            matches!(rule.when, When::Subject(found, _) if found == subject),
            "{option}"
        );
    }
}

#[test]
fn names_that_do_not_exist_are_errors_with_a_suggestion() {
    assert_eq!(
        why("route", "^/a redirct:/b").split("; There").next(),
        Some(
            "names the action 'redirct', which does not exist; did you mean redirect? There are \
              continue, last, break, return, break-with-status, goto, log, donotlog, logvar, \
              redirect, redirect-302, redirect-permanent, redirect-301, rewrite, rewrite-last, \
              basicauth, basicauth-next, static, static-next, file, file-next, sendfile, \
              sendfile-next, fastfile, fastfile-next, addheader, delheader, remheader, \
              clearheaders, resetheaders, expires, send, send-crnl, addvar, +, -, *, /, hash, \
              setapp, setuser, sethost, setscriptname, setmethod, seturi, setremoteaddr, \
              setpathinfo, fixpathinfo, setdocroot, setscheme, setprocname, signal, alarm, \
              harakiri, donotoffload, chunked, flush"
        )
    );
    assert!(why("route-if", "empt:${A} break:").contains("did you mean empty?"));
    assert!(why("route-if", "lord:x break:").contains("not supported"));
    assert!(why("route", "^/a http:127.0.0.1:80").contains("nginx"));
    assert!(why("route", "^/a cache:key=x").contains("the cache"));
}

#[test]
fn what_is_missing_is_named() {
    assert!(why("route", "^/a").contains("wants an expression and ACTION:ARGUMENT"));
    assert!(why("route-if", "empty break:").contains("wants CONDITION:ARGUMENT"));
    assert!(why("route-if", "equal:a break:").contains("with a semicolon"));
    assert!(why("response-route-status", "abc log:x").contains("wants a status"));
    assert!(why("route", "^/( log:x").contains("unclosed group"));
    assert!(why("route-run", "addvar:x").contains("wants KEY=VALUE"));
    assert!(why("route-run", "addheader:x").contains("wants 'NAME: VALUE'"));
    assert!(why("route-run", "basicauth:x").contains("wants REALM,USER:PASSWORD"));
    assert!(why("route-run", "break:abc").contains("wants a status"));
    assert!(why("route-run", "file:mime=1").contains("wants filename=FILE"));
    assert!(why("route-run", "hash:key=a,var=B").contains("wants key=TEXT"));
    assert!(why("route-run", "signal:300").contains("from 0 to 255"));
    assert!(why("route-run", "send:HTTP/1.0 200 OK").contains("heads are the server's"));
    assert!(why("route-run", "addvar:wsgi.input=x").contains("object of the server"));
}

#[test]
fn what_comes_too_late_is_refused() {
    assert!(why("final-route", "^/ redirect:/x").contains("when the response has left"));
    assert!(why("response-route", "^/ rewrite:/x").contains("has answered it"));
    assert!(why("error-route-status", "404 basicauth:x,a:b").contains("has answered it"));
    assert!(parse("error-route-status", "404 redirect:/").is_ok());
}

#[test]
fn passwords_are_no_part_of_messages() {
    let (_, step) = parse("route", "^/ basicauth:x,ann:secret").expect("a rule");
    assert!(!format!("{step:?}").contains("secret"));
    assert!(!why("route", "^/ basicauth:ann:secret").contains("secret"));
}

mod any_text {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_a_rule_or_an_error_that_ends_a_sentence(
            option in "(error-|response-|final-)?route(-(if|if-not|run|host|status|label))?",
            text in "\\PC{0,60}|[a-z]{1,9}:[$;{}\\[\\]a-zA-Z0-9, =%]{0,40} [a-z]{1,9}:[${}\\[\\]a-z0-9=,: ]{0,40}",
        ) {
            match super::parse(&option, &text) {
                Ok(read) => prop_assert_eq!(Ok(read), super::parse(&option, &text)),
                Err(why) => prop_assert!(!why.is_empty() && !why.ends_with('.'), "{}", why),
            }
        }
    }
}
