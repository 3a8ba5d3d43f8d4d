//! The answers about a failed load: the page for a browser, the text for other clients, and the
//! answer when the page asks whether it is still current. Pure.
//!
//! The page loads nothing and runs only its own script: it contains `page.css` and `page.js`, and
//! its Content-Security-Policy allows them by a nonce. All else in it is escaped text.

use std::fmt::{self, Display, Formatter, Write as _};
use std::hash::{BuildHasher, Hasher, RandomState};

/// A request with this field comes from the page, which asks whether it is still current.
pub(super) const POLL: &str = "Singlemalt-Poll";

/// The cookie that selects the loaded version. Its value is the number of a failure, so the next
/// failure is shown again.
pub(super) const COOKIE: &str = "singlemalt-loaded";

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

const FAILED: &[u8] = b"500 Internal Server Error";
const PLAIN: &[u8] = b"text/plain; charset=utf-8";

#[derive(Debug)]
pub(super) struct FailedLoad {
    /// Unique, across processes too: milliseconds since 1970.
    pub(super) number: u64,
    /// The text of the log: what failed in the first line, then a hint, and the traceback.
    pub(super) text: String,
    /// The generation that is loaded; `None` if no version has loaded yet.
    pub(super) loaded: Option<u64>,
}

pub(super) struct Answer {
    pub(super) status: &'static [u8],
    pub(super) fields: Vec<(&'static [u8], Vec<u8>)>,
    pub(super) body: String,
}

/// A random value that cannot be guessed before the page is made.
pub(super) fn nonce() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

pub(super) fn html(failed: &FailedLoad, nonce: &str) -> Answer {
    let FailedLoad { number, .. } = failed;
    let (what, hint, traceback) = parts(&failed.text);
    // The headline already says that loading failed.
    let what = match what.split_once(" failed: ") {
        Some((start, exception)) if start.starts_with("loading ") => exception,
        _ => what,
    };
    let place = place(&failed.text);
    let headline = match failed.loaded {
        Some(_) => "What was saved last does not load",
        None => "The application does not load",
    };
    let title = match place {
        Some((file, line)) => format!(
            "{}, line {line}",
            file.rsplit(['/', '\\']).next().unwrap_or(file)
        ),
        None => headline.to_owned(),
    };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\" data-number=\"{number}\" data-poll=\"{POLL}\" \
         data-cookie=\"{COOKIE}\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <noscript><meta http-equiv=\"refresh\" content=\"2\"></noscript>\n\
         <style nonce=\"{nonce}\">\n{STYLE}</style>\n\
         <main>\n<p class=\"headline\">{headline}</p>\n<h1>{what}</h1>\n",
        title = Escaped(&title),
        what = Escaped(what),
    );
    if let Some((file, line)) = place {
        page += &format!(
            "<p class=\"place\"><span>{}</span> line {}</p>\n",
            Escaped(file),
            Escaped(line)
        );
    }
    if !hint.is_empty() {
        page += &format!("<p class=\"hint\">{}</p>\n", Escaped(hint));
    }
    if !traceback.is_empty() {
        page += "<pre tabindex=\"0\">";
        for line in traceback.lines() {
            let (begin, end) = match kind(line) {
                Kind::Frame => ("<span class=\"frame\">", "</span>"),
                Kind::Code => ("", ""),
                Kind::Words => ("<b>", "</b>"),
            };
            page += &format!("{begin}{}{end}\n", Escaped(line));
        }
        page += "</pre>\n";
    }
    page += "<footer>\n";
    page += &match failed.loaded {
        Some(generation) => format!(
            "<p>Generation {generation}, the last version that loaded, is still there. \
             <button type=\"button\">Show it until the next save</button></p>\n"
        ),
        None => "<p>No version has been loaded yet.</p>\n".to_owned(),
    };
    page += &format!(
        "<p role=\"status\">Save the fix: this page reloads by itself as soon as a version \
         loads.</p>\n</footer>\n</main>\n\
         <script nonce=\"{nonce}\">\n{SCRIPT}</script>\n"
    );
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    );
    let mut answer = answer(FAILED, b"text/html; charset=utf-8", page);
    answer
        .fields
        .push((b"Content-Security-Policy", policy.into_bytes()));
    answer
        .fields
        .push((b"Referrer-Policy", b"no-referrer".to_vec()));
    answer
}

/// The same for a terminal or a program.
pub(super) fn plain(failed: &FailedLoad) -> Answer {
    let FailedLoad { number, text, .. } = failed;
    let text = text.trim_end();
    let then = match failed.loaded {
        Some(generation) => format!(
            "What was saved last does not load. Generation {generation}, the last version that \
             loaded, is still there, and answers requests with the cookie {COOKIE}={number}."
        ),
        None => "The application does not load, and no version of it is loaded.".to_owned(),
    };
    answer(FAILED, PLAIN, format!("{text}\n\n{then}\n"))
}

/// The answer to the page: the number of the failure that would be shown now, or nothing.
pub(super) fn poll(number: &str) -> Answer {
    answer(b"200 OK", PLAIN, number.to_owned())
}

fn answer(status: &'static [u8], media_type: &[u8], body: String) -> Answer {
    Answer {
        status,
        fields: vec![
            (b"Content-Type", media_type.to_vec()),
            (b"Cache-Control", b"no-store".to_vec()),
            (b"Vary", b"Accept, Cookie".to_vec()),
            (b"X-Content-Type-Options", b"nosniff".to_vec()),
        ],
        body,
    }
}

/// What failed, the hint, and the traceback (see `LoadFailure`).
fn parts(text: &str) -> (&str, &str, &str) {
    let text = text.trim_end();
    let (what, rest) = text.split_once('\n').unwrap_or((text, ""));
    // An empty line is between the two.
    let (hint, traceback) = match rest.strip_prefix('\n') {
        Some(traceback) => ("", traceback),
        None => rest.split_once("\n\n").unwrap_or((rest, "")),
    };
    (what.trim(), hint.trim(), traceback)
}

/// The file and the line where a traceback ends.
fn place(text: &str) -> Option<(&str, &str)> {
    text.lines().rev().find_map(|line| {
        let (file, rest) = line
            .trim_start()
            .strip_prefix("File \"")?
            .rsplit_once("\", line ")?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        Some((file, rest.get(..digits).filter(|line| !line.is_empty())?))
    })
}

enum Kind {
    /// A frame: `  File "app.py", line 3, in <module>`
    Frame,
    Code,
    /// The exception, or the text between two of them.
    Words,
}

fn kind(line: &str) -> Kind {
    if line.trim_start().starts_with("File \"") {
        Kind::Frame
    } else if line.is_empty() || line.starts_with(' ') || line.starts_with("Traceback (") {
        Kind::Code
    } else {
        Kind::Words
    }
}

/// Text in HTML, also between double quotes.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '&' => out.write_str("&amp;"),
            '<' => out.write_str("&lt;"),
            '>' => out.write_str("&gt;"),
            '"' => out.write_str("&quot;"),
            '\'' => out.write_str("&#39;"),
            other => out.write_char(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(answer: &Answer) -> String {
        let mut shown = format!("{}\n", answer.status.escape_ascii());
        for (name, value) in &answer.fields {
            shown += &format!(
                "{}: {}\n",
                name.escape_ascii(),
                String::from_utf8_lossy(value)
            );
        }
        // These are separate files.
        let body = answer
            .body
            .replace(STYLE, "(page.css)\n")
            .replace(SCRIPT, "(page.js)\n");
        shown + "\n" + &body
    }

    fn snapshot(name: &str, answer: &Answer) {
        insta::with_settings!({
            snapshot_path => "../../../snapshots",
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, { insta::assert_snapshot!(name, shown(answer)) });
    }

    const RAISED: &str = "loading app.py failed: ZeroDivisionError: <b>bold</b> & \"quoted\"\n\
        \x20 a hint, in a line\n\n\
        Traceback (most recent call last):\n  File \"/srv/app.py\", line 3, in \
        <module>\n    import shop\n  File \"/srv/<script>alert('1')</script>.py\", line 17, in \
        <module>\n    1 / 0  # </pre><script>alert(2)</script>\n    \
        ~~^~~\nZeroDivisionError: <b>bold</b> & \"quoted\"\n";

    fn failed(text: &str, loaded: Option<u64>) -> FailedLoad {
        FailedLoad {
            number: 1_700_000_000_123,
            text: text.to_owned(),
            loaded,
        }
    }

    #[test]
    fn the_page_for_a_browser() {
        snapshot(
            "failed_load_page",
            &html(&failed(RAISED, Some(4)), "0123abcd"),
        );
        let missing = "there is no module mysite\n  looked in the working directory /srv";
        snapshot(
            "failed_load_page_first",
            &html(&failed(missing, None), "0123abcd"),
        );
    }

    #[test]
    fn the_text_for_other_clients() {
        snapshot("failed_load_plain", &plain(&failed(RAISED, Some(4))));
        snapshot("failed_load_plain_first", &plain(&failed("one line", None)));
    }

    #[test]
    fn texts_never_become_markup() {
        let hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&lt;";
        for text in [
            hostile.to_owned(),
            format!("a\n{hostile}"),
            format!("a\n  File \"{hostile}\", line 1, in {hostile}\n    {hostile}\n{hostile}"),
        ] {
            let page = html(&failed(&text, Some(1)), "n").body;
            let rest = page.replace(STYLE, "").replace(SCRIPT, "");
            assert!(
                !rest.contains("alert(1)</script>") && !rest.contains("<img"),
                "{rest}"
            );
            assert_eq!(rest.matches("<script").count(), 1, "{rest}");
        }
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</"));
    }

    #[test]
    fn the_place_is_where_a_traceback_ends() {
        assert_eq!(
            place(RAISED),
            Some(("/srv/<script>alert('1')</script>.py", "17"))
        );
        let syntax =
            "  File \"/srv/a.py\", line 2\n    def f(:\n          ^\nSyntaxError: invalid syntax";
        assert_eq!(place(syntax), Some(("/srv/a.py", "2")));
        assert_eq!(place("File \"a.py\", line "), None);
        assert_eq!(place("there is no file app.py"), None);
    }

    #[test]
    fn nonces_differ() {
        assert_eq!(nonce().len(), 32);
        assert_ne!(nonce(), nonce());
    }
}
