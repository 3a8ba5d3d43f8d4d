//! uWSGI's magic variables: `%n`, `%d` and the others, replaced in a file's whole text before it
//! is read (uWSGI docs, "Configuring uWSGI", magic variables; core/utils.c `magic_sub`).
//!
//! `%%` is a percent sign, `%(` is kept for placeholders, and what is no variable is removed, which
//! is kept and warned of: `%Y-%m` in a file name loses its marks. Pure, but for a file's inode and
//! the real path of its directory.

use std::path::{Component, Path};

use crate::config::readers::formats::Section;
use crate::config::readers::layers;
use crate::config::readers::system_facts::SystemFacts;

/// Letters that depend on the file, and so have an upper-case twin for the first file.
const OF_FILE: &[char] = &['o', 'p', 's', 'd', 'e', 'n', 'c', 'x', 'i', 'j'];

/// What a file's letters stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileMagic {
    values: Vec<(char, String)>,
}

impl FileMagic {
    pub(crate) fn new(name: &str, section: Section<'_>, system: &SystemFacts) -> FileMagic {
        let mut values = vec![('o', name.to_owned())];
        if let Section::Named(section) = section {
            values.push(('x', section.to_owned()));
        }
        if name == "-" || name.contains("://") {
            return FileMagic { values };
        }
        let path = full_path(name, &system.directory);
        let directory = path
            .rfind('/')
            .map_or("", |at| path.get(..=at).unwrap_or(""));
        let file = path.get(directory.len()..).unwrap_or_default();
        let (stem, ending) = file.rsplit_once('.').unwrap_or((file, ""));
        let parts: Vec<&str> = directory
            .split('/')
            .filter(|part| !part.is_empty())
            .collect();
        values.extend([
            ('p', path.clone()),
            ('s', file.to_owned()),
            ('d', directory.to_owned()),
            ('e', ending.to_owned()),
            ('n', stem.to_owned()),
            ('c', parts.last().copied().unwrap_or_default().to_owned()),
            ('i', inode(&path).to_string()),
            ('j', hash(path.as_bytes())),
        ]);
        values.extend(
            ('0'..='9')
                .zip(parts)
                .map(|(digit, part)| (digit, part.to_owned())),
        );
        FileMagic { values }
    }

    fn get(&self, letter: char) -> Option<&str> {
        let found = self.values.iter().find(|(other, _)| *other == letter);
        found.map(|(_, text)| text.as_str())
    }
}

/// Every letter that stands for something in a file.
#[derive(Clone, Debug)]
pub(crate) struct Magic<'m> {
    pub(crate) file: &'m FileMagic,
    /// The first file that was read, for upper-case letters.
    pub(crate) first: &'m FileMagic,
    pub(crate) system: &'m SystemFacts,
}

/// A text after its variables were replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replaced {
    pub(crate) text: String,
    /// Letters that are no variable, and the lines where they stood.
    pub(crate) removed: Vec<(char, u32)>,
    /// Digits that hardly mean a folder of the file's path, and their lines.
    pub(crate) no_folder: Vec<(char, u32)>,
}

impl Magic<'_> {
    /// What a letter stands for; `None` if it is no variable.
    pub(crate) fn value(&self, letter: char) -> Option<String> {
        let facts = self.system;
        Some(match letter {
            'v' => slashes(&facts.directory),
            'V' => env!("CARGO_PKG_VERSION").to_owned(),
            'h' => facts.host.clone(),
            't' => (facts.started_micros / 1_000_000).to_string(),
            'T' => facts.started_micros.to_string(),
            'k' => facts.cores.to_string(),
            'u' => facts.uid.to_string(),
            'U' => facts.user.clone(),
            'g' => facts.gid.to_string(),
            'G' => facts.group.clone(),
            'b' => facts.program.clone(),
            '[' => "\u{1b}".to_owned(),
            '0'..='9' => self.file.get(letter).unwrap_or_default().to_owned(),
            letter if OF_FILE.contains(&letter) => {
                self.file.get(letter).unwrap_or_default().to_owned()
            }
            letter if OF_FILE.contains(&letter.to_ascii_lowercase()) => {
                let twin = letter.to_ascii_lowercase();
                self.first.get(twin).unwrap_or_default().to_owned()
            }
            _ => return None,
        })
    }

    /// Whether `%2` can mean the third folder of the file's path: the path has one, and what
    /// follows is no letter, as in the `%2f` of a URL and the `%2x` of a format.
    fn is_folder(&self, digit: char, mut rest: std::str::Chars<'_>) -> bool {
        let is_escape = rest.next().is_some_and(|next| next.is_ascii_alphanumeric());
        !is_escape && self.file.get(digit).is_some()
    }

    pub(crate) fn replace(&self, text: &str) -> Replaced {
        let mut replaced = Replaced {
            text: String::with_capacity(text.len() + 64),
            removed: Vec::new(),
            no_folder: Vec::new(),
        };
        let mut line = 1;
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            if letter == '\n' {
                line += 1;
            }
            if letter != '%' {
                replaced.text.push(letter);
                continue;
            }
            match letters.clone().next() {
                // At the end of a line there is nothing to replace.
                None | Some('\n' | '\r') => replaced.text.push('%'),
                Some('(') => {
                    letters.next();
                    replaced.text.push_str("%(");
                }
                Some('%') => {
                    letters.next();
                    replaced.text.push('%');
                }
                Some(variable) => {
                    letters.next();
                    if variable.is_ascii_digit() && !self.is_folder(variable, letters.clone()) {
                        replaced.no_folder.push((variable, line));
                    }
                    match self.value(variable) {
                        Some(value) => replaced.text.push_str(&value),
                        None => replaced.removed.push((variable, line)),
                    }
                }
            }
        }
        replaced
    }

    /// Every variable and what it stands for (`uwsgi.magic_table`).
    pub(crate) fn table(&self) -> Vec<(char, String)> {
        ('0'..='9')
            .chain('A'..='Z')
            .chain('a'..='z')
            .chain(['['])
            .filter_map(|letter| Some((letter, self.value(letter)?)))
            .collect()
    }
}

pub(crate) fn folder_warning(digit: char, file: &str, line: u32) -> String {
    format!(
        "%{digit} is folder {digit} of this file's path, or nothing, as in uWSGI; write %%{digit} \
         for a percent sign ({})",
        layers::place(file, line)
    )
}

pub(crate) fn warning(letter: char, file: &str, line: u32) -> String {
    format!(
        "%{letter} is no magic variable and is removed, as in uWSGI; write %%{letter} ({})",
        layers::place(file, line)
    )
}

/// The absolute path, with slashes. A file that is a symbolic link is not resolved (deployments
/// rely on that); the directory of any other is.
fn full_path(name: &str, directory: &Path) -> String {
    let path = directory.join(name);
    let is_link = path.symlink_metadata().is_ok_and(|data| data.is_symlink());
    if !is_link
        && cfg!(unix)
        && let Ok(real) = path.canonicalize()
    {
        return slashes(&real);
    }
    // Without `.`, as it reads; `..` stays, for it may lead over a link.
    let plain = path.components().filter(|part| *part != Component::CurDir);
    slashes(&plain.collect::<std::path::PathBuf>())
}

fn slashes(path: &Path) -> String {
    let text = path.display().to_string();
    if cfg!(windows) {
        text.replace('\\', "/")
    } else {
        text
    }
}

#[cfg(unix)]
fn inode(path: &str) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).map_or(0, |data| data.ino())
}

#[cfg(not(unix))]
fn inode(_path: &str) -> u64 {
    0
}

/// djb33x, its four bytes as a little-endian machine holds them, in hexadecimal.
fn hash(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(5381_u32, |hash, byte| {
        (hash << 5).wrapping_add(hash) ^ u32::from(*byte)
    });
    let digits = hash.to_le_bytes().map(|byte| format!("{byte:02X}"));
    digits.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts() -> SystemFacts {
        SystemFacts {
            directory: "/srv/site".into(),
            host: "box".to_owned(),
            cores: 8,
            started_micros: 1_700_000_000_123_456,
            uid: 33,
            gid: 34,
            user: "www-data".to_owned(),
            group: "web".to_owned(),
            program: "/usr/bin/singlemalt".to_owned(),
            ..SystemFacts::default()
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_not_there_still_has_a_name() {
        let facts = facts();
        let file = FileMagic::new("conf/./app.v2.ini", Section::Named("blue"), &facts);
        let first = FileMagic::new("/etc/first.xml", Section::Usual, &facts);
        let magic = Magic {
            file: &file,
            first: &first,
            system: &facts,
        };
        let replace = |text: &str| magic.replace(text).text;
        assert_eq!(
            replace("%p %s %d"),
            "/srv/site/conf/app.v2.ini app.v2.ini /srv/site/conf/"
        );
        assert_eq!(
            replace("%e|%n|%c|%x|%o"),
            "ini|app.v2|conf|blue|conf/./app.v2.ini"
        );
        assert_eq!(replace("%0-%1-%2-%3-"), "srv-site-conf--");
        assert_eq!(
            replace("%P %S %D %E %N %C %X"),
            "/etc/first.xml first.xml /etc/ xml first etc "
        );
        assert_eq!(
            replace("%u%U%g%G%k%h%t%T"),
            "33www-data34web8box17000000001700000000123456"
        );
        assert_eq!(replace("100%% %(base) 5%\n%"), "100% %(base) 5%\n%");
        assert_eq!(replace("%[[0m"), "\u{1b}[0m");
        assert_eq!(replace("%i %I"), "0 0");
        assert_eq!(hash(b""), "05150000");
        // What uWSGI 2.0.31 says.
        assert_eq!(hash(b"/tmp/diff/a.ini"), "EFE06BEC");
        assert_eq!(
            hash(b"/"),
            format!("{:08X}", ((5381_u32 * 33) ^ 47).swap_bytes())
        );
        let removed = magic.replace("a\nx %Y-%m é%é").removed;
        assert_eq!(removed, [('Y', 2), ('m', 2), ('é', 2)]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}|(%\\PC|[%\n(]){0,20}", name in "\\PC{0,20}") {
            let facts = facts();
            let file = FileMagic::new(&name, Section::Usual, &facts);
            let magic = Magic { file: &file, first: &file, system: &facts };
            let replaced = magic.replace(&text);
            prop_assert!(replaced.removed.len() <= text.len());
        }
    }
}
