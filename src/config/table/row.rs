//! One row of the option table: everything singlemalt knows about one option.
//!
//! A row is data. It names the option, says what a value looks like, what its default is, what it
//! does, and how it stands to uWSGI's option of that name (the class of docs/options.md). It never
//! does anything: `value` reads texts by the row's kind, `resolve` gives the values their meaning.
//! Rows are built at compile time; any thread may read them.

/// What a value of the option looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false. Without a value: true.
    Flag,
    /// A whole number within these bounds, both included.
    Number {
        /// The smallest value that is taken.
        min: u64,
        /// The largest value that is taken.
        max: u64,
    },
    /// Bytes, with an optional suffix K, M or G (powers of 1024), within these bounds.
    Bytes {
        /// The smallest value that is taken.
        min: u64,
        /// The largest value that is taken.
        max: u64,
    },
    /// Megabytes; `512M` is 512, as uWSGI reads it.
    Megabytes,
    /// Seconds, with an optional fraction or a suffix ms, s, m, h.
    Seconds,
    /// A file mode in octal, as chmod(1) takes it.
    Mode,
    /// Any text.
    Text,
    /// A file or directory.
    Path,
    /// `KEY=VALUE`.
    Pair,
    /// A place to listen: see `address`.
    Address,
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// What stands for the value in help: `--processes N`.
    pub const fn placeholder(self) -> &'static str {
        match self {
            Kind::Flag => "",
            Kind::Number { .. } => "N",
            Kind::Bytes { .. } => "BYTES",
            Kind::Megabytes => "MB",
            Kind::Seconds => "SECONDS",
            Kind::Mode => "MODE",
            Kind::Text => "TEXT",
            Kind::Path => "PATH",
            Kind::Pair => "KEY=VALUE",
            Kind::Address => "ADDRESS",
            Kind::Choice(_) => "WORD",
        }
    }
}

/// Whether the option takes a value on the command line (getopt's three ways).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// `--master`
    Nothing,
    /// `--chmod-socket` or `--chmod-socket=660`; the text is what the bare form means.
    Optionally(&'static str),
    /// `--processes 4`
    Always,
}

/// How the option stands to uWSGI's option of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// **E**: the same effect as in uWSGI, or an option of singlemalt's own.
    Same,
    /// **M**: the same purpose, mapped to one process; the sentence says how.
    Mapped(&'static str),
    /// **A**: accepted and without effect; the sentence says why none is needed.
    Accepted(&'static str),
    /// **X**: not supported; the sentence says why, or what to use instead.
    Unsupported(&'static str),
}

impl Class {
    /// The sentence that goes with it; empty for [`Class::Same`].
    pub const fn sentence(self) -> &'static str {
        match self {
            Class::Same => "",
            Class::Mapped(why) | Class::Accepted(why) | Class::Unsupported(why) => why,
        }
    }
}

/// Whether this version does what the row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// It does.
    Now,
    /// Not yet; the server runs without it and says so at start.
    Later,
    /// Not yet, and running without it would be unsafe or useless: using it is an error. The
    /// sentence says what to do instead.
    LaterAndEssential(&'static str),
}

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakesEffect {
    /// With the next version of the application, in the process that serves.
    AtReload,
    /// In another process, which a reload starts for it.
    InNewProcess,
    /// When the server is started: a reload names the option and goes on without it.
    AtStart,
}

/// The headings of help, in the order in which they are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// What is served.
    Application,
    /// The Python it runs in.
    Python,
    /// Where it listens.
    Listening,
    /// How HTTP is spoken.
    Http,
    /// What a client may ask for, and how long it may take.
    Limits,
    /// Interpreters and threads.
    Workers,
    /// Life of the process: start, stop, users, files.
    Process,
    /// Reload and recycling.
    Reload,
    /// Logs.
    Logging,
    /// Statistics, metrics, alarms.
    Monitoring,
    /// Static files.
    Static,
    /// Internal routing.
    Routing,
    /// Spooler, timers, cron, mules, daemons.
    Background,
    /// Cache, queues, locks, shared areas.
    Shared,
    /// TLS.
    Tls,
    /// Configuration files and their language.
    Configuration,
    /// Commands that print something and end.
    Information,
    /// What only several processes, or other languages, need.
    Elsewhere,
}

impl Group {
    /// Every group, in help order.
    pub const ALL: &[Group] = &[
        Group::Application,
        Group::Python,
        Group::Listening,
        Group::Http,
        Group::Limits,
        Group::Workers,
        Group::Process,
        Group::Reload,
        Group::Logging,
        Group::Monitoring,
        Group::Static,
        Group::Routing,
        Group::Background,
        Group::Shared,
        Group::Tls,
        Group::Configuration,
        Group::Information,
        Group::Elsewhere,
    ];

    /// The heading.
    pub const fn title(self) -> &'static str {
        match self {
            Group::Application => "Application",
            Group::Python => "Python",
            Group::Listening => "Listening",
            Group::Http => "HTTP",
            Group::Limits => "Limits and deadlines",
            Group::Workers => "Interpreters and threads",
            Group::Process => "Process",
            Group::Reload => "Reload and recycling",
            Group::Logging => "Logging",
            Group::Monitoring => "Monitoring",
            Group::Static => "Static files",
            Group::Routing => "Routing",
            Group::Background => "Background work",
            Group::Shared => "Shared memory",
            Group::Tls => "TLS",
            Group::Configuration => "Configuration",
            Group::Information => "Information",
            Group::Elsewhere => "Other processes and languages",
        }
    }
}

/// One option. Rows are made by [`row`] and the methods below it, which read like sentences.
#[derive(Debug)]
pub struct OptionRow {
    /// The name, without dashes in front. The first of uWSGI's names where it has several.
    pub name: &'static str,
    /// Other names with the same meaning.
    pub aliases: &'static [&'static str],
    /// The one-letter form.
    pub short: Option<char>,
    /// What a value looks like.
    pub kind: Kind,
    /// Whether a value must be given.
    pub takes: Takes,
    /// Values add up over all sources, instead of the last one winning.
    pub adds_up: bool,
    /// The default, as a text; `None` where "not set" is a state of its own.
    pub default: Option<&'static str>,
    /// What stands for the value in help.
    pub placeholder: &'static str,
    /// What it does: one or two sentences, with the unit of its value.
    pub help: &'static str,
    /// Its heading in help.
    pub group: Group,
    /// How it stands to uWSGI.
    pub class: Class,
    /// Whether this version does it.
    pub ready: Ready,
    /// Left out of plain help (it is there for tests and developers).
    pub hidden: bool,
    /// It orders a command (`--help`), so neither environment nor file may set it.
    pub command: bool,
    /// It belongs to the language of files (`include`, `if-env`): `loader` acts on it.
    pub language: bool,
    /// When a changed value takes effect.
    pub takes_effect: TakesEffect,
}

/// Starts a row that is class E, ready now, and takes a value unless its kind is a flag.
pub(crate) const fn row(
    group: Group,
    name: &'static str,
    kind: Kind,
    help: &'static str,
) -> OptionRow {
    OptionRow {
        name,
        aliases: &[],
        short: None,
        kind,
        takes: match kind {
            Kind::Flag => Takes::Nothing,
            _ => Takes::Always,
        },
        adds_up: false,
        default: None,
        placeholder: kind.placeholder(),
        help,
        group,
        class: Class::Same,
        ready: Ready::Now,
        hidden: false,
        command: false,
        language: false,
        takes_effect: TakesEffect::InNewProcess,
    }
}

impl OptionRow {
    pub(crate) const fn also(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub(crate) const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    pub(crate) const fn default(mut self, text: &'static str) -> Self {
        self.default = Some(text);
        self
    }

    /// The value may be left out, and then means `bare`.
    pub(crate) const fn bare(mut self, bare: &'static str) -> Self {
        self.takes = Takes::Optionally(bare);
        self
    }

    /// Values add up.
    pub(crate) const fn many(mut self) -> Self {
        self.adds_up = true;
        self
    }

    pub(crate) const fn value(mut self, placeholder: &'static str) -> Self {
        self.placeholder = placeholder;
        self
    }

    /// Class M: the sentence says how.
    pub(crate) const fn mapped(mut self, how: &'static str) -> Self {
        self.class = Class::Mapped(how);
        self
    }

    /// Class A: the sentence says why it needs no effect.
    pub(crate) const fn accepted(mut self, why: &'static str) -> Self {
        self.class = Class::Accepted(why);
        self
    }

    /// Class X: the sentence says why, or what instead.
    pub(crate) const fn unsupported(mut self, why: &'static str) -> Self {
        self.class = Class::Unsupported(why);
        self
    }

    pub(crate) const fn later(mut self) -> Self {
        self.ready = Ready::Later;
        self
    }

    /// Not in this version, and using it is an error; the sentence says what to do instead.
    pub(crate) const fn essential_later(mut self, instead: &'static str) -> Self {
        self.ready = Ready::LaterAndEssential(instead);
        self
    }

    /// Left out of plain help.
    pub(crate) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    pub(crate) const fn command(mut self) -> Self {
        self.command = true;
        self
    }

    pub(crate) const fn language(mut self) -> Self {
        self.language = true;
        self
    }

    /// A reload applies it in the process that serves.
    pub(crate) const fn at_reload(mut self) -> Self {
        self.takes_effect = TakesEffect::AtReload;
        self
    }

    /// It is for the start of the server.
    pub(crate) const fn at_start(mut self) -> Self {
        self.takes_effect = TakesEffect::AtStart;
        self
    }

    /// The name and the aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// It changes what the server does, in this version.
    pub fn has_effect(&self) -> bool {
        self.ready == Ready::Now && matches!(self.class, Class::Same | Class::Mapped(_))
    }
}
