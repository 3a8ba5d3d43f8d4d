//! The texts about the configuration: help, errors, warnings, the effective configuration.
//!
//! Snapshots are reviewed like code; `cargo insta review` shows what changed.

use std::ffi::OsString;

use singlemalt::config::{self, Command, Config};

/// Runs a command line, its words separated by spaces, in an environment of `KEY=VALUE` words.
fn run(environment: &str, line: &str) -> Result<Command, config::ConfigError> {
    let environment = environment.split_whitespace().map(|word| {
        let (name, text) = word.split_once('=').expect("KEY=VALUE");
        (OsString::from(name), OsString::from(text))
    });
    config::from_args(line.split_whitespace().map(OsString::from), environment)
}

#[track_caller]
fn configured(environment: &str, line: &str) -> Config {
    match run(environment, line) {
        Ok(Command::Run(config)) => *config,
        other => panic!("{line}: {other:?}"),
    }
}

#[track_caller]
fn check(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, text);
    });
}

#[track_caller]
fn check_help(name: &str, line: &str) {
    match run("", line) {
        Ok(Command::Help(text)) => check(name, &text),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn help() {
    check_help("config__help", "--help");
    check_help("config__help_word", "--help mercy");
    check_help("config__help_unsupported_word", "--help gevent");
    check_help("config__help_nothing_found", "--help vaccum");
}

#[test]
fn errors() {
    let lines = [
        ("", ""),
        ("", "--proceses 4 app.py"),
        ("", "--wsgi_file app.py"),
        ("", "--bind :8000 app.py"),
        ("", "--stdout-logfile x app.py"),
        ("", "-% app.py"),
        ("", "-http :8000 app.py"),
        ("", "app.py --processes"),
        ("", "app.py --processes --threads 2"),
        ("", "app.py --processes four"),
        ("", "app.py --log-format %(mtehod)"),
        ("", "app.py --log-date=%Y%"),
        ("", "app.py --memory-report=3"),
        ("", "app.py --logger syslgo:web"),
        ("", "app.py --req-logger redislog:127.0.0.1"),
        ("", "app.py --log-encoder jsno"),
        ("", "app.py --log-req-encoder format=${mgs}"),
        ("", "app.py --logger file"),
        ("", "app.py --log-route=audit"),
        ("", "app.py --processes 0"),
        ("", "app.py --threads -1"),
        ("", "app.py -p 99999999999999999999999"),
        ("UWSGI_WORKERS=four", "app.py"),
        ("SINGLEMALT_HTTP_TIMEOUT=soon", "app.py"),
        ("", "app.py --isolation total"),
        ("", "app.py --supervise=hot"),
        ("", "app.py --supervise --daemonize2 log"),
        ("", "app.py --optimize 3"),
        ("", "app.py --chmod-socket=rw"),
        ("", "app.py --env =VALUE"),
        ("", "app.py --buffer-size 12"),
        ("", "app.py --limit-post huge"),
        ("", "app.py --http localhost"),
        ("", "app.py --http ::1:8000"),
        ("", "app.py --http example.org:80"),
        ("", "app.py --http :80000"),
        ("", "app.py --http :9090 --http-socket 0.0.0.0:9090"),
        ("UWSGI_HTTP=:9090", "app.py --http :9090"),
        ("", "app.py --socket :3031 --protocol gopher"),
        ("", "app.py --socket :3031 --uwsgi-socket :3031"),
        ("", "my-app"),
        ("", "app.py other.py"),
        ("", "--wsgi-file app.py other.py"),
        ("", "app.py:one --callable two"),
        ("", "--callable app"),
        ("", "--module ./app.py"),
        ("", "app.py:create_app("),
        ("", "no-such-file.ini"),
        ("", "--ini :other"),
        ("", "site.yaml"),
        ("", "--config site.conf"),
        ("", "app.py --mount /a"),
        ("", "app.py --completions tcsh"),
        ("", "app.py --add-header X"),
        ("", "app.py --umask 9"),
        ("", "app.py --hook-asap dance:now"),
        ("", "app.py --hook-as-root mount:proc"),
        ("", "app.py --get chdir"),
        ("", "app.py --chroot /srv"),
        ("", "app.py --https :443,cert.pem"),
        ("", "app.py --https nowhere,cert.pem,key.pem"),
        ("", "app.py --https :443,cert.pem,key.pem,,!"),
        ("", "app.py --https2 addr=:443,cert=cert.pem"),
        ("", "app.py --https2 addr=:443,certificate=cert.pem"),
        ("", "app.py --sni example.org"),
        ("", "app.py --sni-regexp example.org(.crt,.key"),
        ("", "app.py --http-to-https :80,https"),
        ("", "--emperor /etc/uwsgi"),
        ("", "--pause /run/app.pid"),
        ("", "app.py --gevent 100 --strict"),
    ];
    let mut text = String::new();
    for (environment, line) in lines {
        let error = match run(environment, line) {
            Err(error) => error,
            Ok(command) => panic!("{environment} {line}: {command:?}"),
        };
        let command_line = format!("{environment} singlemalt {line}");
        text.push_str(&format!("$ {}\nerror: {error}\n\n", command_line.trim()));
    }
    check("config__errors", &text);
}

#[test]
fn notices() {
    let lines = [
        (
            "",
            "app.py --master --enable-threads --thunder-lock --lazy-apps -p 4",
        ),
        (
            "",
            "app.py --harakiri 30 --metrics-dir m --touch-reload app.py",
        ),
        ("", "app.py --gevent 100 --zerg /tmp/z"),
        ("", "app.py --plugin python3,http --die-on-term=false"),
        ("", "app.py --master=banana --need-app=False"),
        ("", "app.py --processes=4;four"),
        ("UWSGI_PROCESES=4 SINGLEMALT_SPEED=1", "app.py"),
    ];
    let mut text = String::new();
    for (environment, line) in lines {
        let config = configured(environment, line);
        let command_line = format!("{environment} singlemalt {line}");
        text.push_str(&format!("$ {}\n", command_line.trim()));
        for warning in &config.warnings {
            text.push_str(&format!("warning: {warning}\n"));
        }
        for remark in &config.remarks {
            text.push_str(&format!("{remark}\n"));
        }
        text.push('\n');
    }
    check("config__notices", &text);
}

#[test]
fn show_config() {
    let shown = run(
        "UWSGI_WORKERS=4 UWSGI_HTTP=:9090 VIRTUAL_ENV=/srv/venv",
        "--show-config app.py:app --threads 2 --http 127.0.0.1:9091 --master --metrics-dir m --zerg x",
    );
    match shown {
        Ok(Command::ShowConfig(text)) => check("config__show_config", &text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_defaults() {
    let mut config = configured("", "app.py");
    config.magic_table.clear();
    check("config__defaults", &format!("{config:#?}"));
}

#[test]
fn the_command_line_of_the_uwsgi_quickstart() {
    let config = configured(
        "",
        "--http :9090 --wsgi-file bootstrap.py --master --processes 4 --threads 2",
    );
    assert_eq!((config.workers.processes, config.workers.threads), (4, 2));
    assert_eq!(config.sockets.listen[0].address.to_string(), "0.0.0.0:9090");
    assert_eq!(config.sockets.listen[0].origin, "--http (command line)");
    assert_eq!(
        config.app.choice.map(|app| app.to_string()).as_deref(),
        Some("bootstrap.py")
    );
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(config.remarks.len(), 1);
}

#[test]
fn sources_are_layered_and_lists_add_up() {
    let environment = "UWSGI_WORKERS=4 SINGLEMALT_THREADS=3 UWSGI_HTTP=:9090 UWSGI_MODULE=other";
    let config = configured(environment, "app.py -p 2 --http :9091");
    assert_eq!((config.workers.processes, config.workers.threads), (2, 3));
    let listen: Vec<_> = config
        .sockets
        .listen
        .iter()
        .map(|l| l.address.to_string())
        .collect();
    assert_eq!(listen, ["0.0.0.0:9090", "0.0.0.0:9091"]);
    assert_eq!(config.origin("processes"), Some("-p (command line)"));
    assert_eq!(
        config.origin("threads"),
        Some("SINGLEMALT_THREADS (environment)")
    );
    assert_eq!(config.origin("chdir"), None);
    // The command line's application wins over the environment's.
    assert_eq!(
        config.app.choice.map(|app| app.to_string()).as_deref(),
        Some("app.py")
    );
}

#[test]
fn zero_switches_a_deadline_off_but_keep_alive_to_none() {
    let config = configured(
        "",
        "app.py --header-timeout 0 --socket-timeout 4 --http-keepalive=0 --limit-post 0",
    );
    assert_eq!(config.limits.deadlines.header, config::NEVER);
    assert_eq!(config.limits.deadlines.write.as_secs(), 4);
    assert!(config.limits.deadlines.keep_alive.is_zero());
    assert_eq!(config.limits.request.body_bytes_max, u64::MAX);
}

#[test]
fn python_path_wildcards_are_expanded() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        std::fs::create_dir(directory.path().join(name)).unwrap();
    }
    let root = directory.path().display().to_string();
    let config = configured(
        "",
        &format!("app.py --pp {root}/* --pp {root}/none* --pp lib"),
    );
    let shown: Vec<_> = config
        .python
        .path
        .iter()
        .map(|path| path.display().to_string().replace(&root, ""))
        .collect();
    assert_eq!(shown, ["/a", "/b", "/none*", "lib"]);
}

#[test]
fn check_config_gives_the_config_back() {
    assert!(matches!(
        run("", "app.py --check-config"),
        Ok(Command::CheckConfig(_))
    ));
    assert!(run("", "app.py --check-config --threads none").is_err());
    assert!(matches!(
        run("UWSGI_VERSION=2.0.21", "app.py"),
        Ok(Command::Run(_))
    ));
    assert!(matches!(run("", "--version"), Ok(Command::Version)));
}

/// A directory with these files; their names in the error are relative to it.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &[u8])]) -> Files {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).expect("a file");
        }
        Files(directory)
    }

    /// `{}` in the line stands for the directory.
    fn run(&self, line: &str) -> Result<Command, config::ConfigError> {
        let root = self.0.path().display().to_string();
        run("", &line.replace("{}", &root))
    }

    #[track_caller]
    fn configured(&self, line: &str) -> Config {
        match self.run(line) {
            Ok(Command::Run(config)) => *config,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn redact(&self, text: &str) -> String {
        let root = format!("{}{}", self.0.path().display(), std::path::MAIN_SEPARATOR);
        text.replace(&root, "")
            .replace(&root.replace('\\', "/"), "")
    }
}

#[test]
fn an_ini_file_stands_where_it_is_named() {
    let files = Files::new(&[(
        "site.ini",
        b"[uwsgi]\nhttp = :9090\nmodule = site:app\nprocesses = 4\nmaster\n\
          [blue]\nmodule = blue\nini = :uwsgi\nthreads = 3\n",
    )]);
    let config = files.configured("{}/site.ini");
    assert_eq!((config.workers.processes, config.workers.threads), (4, 1));
    assert_eq!(config.app.choice.unwrap().to_string(), "site:app");
    assert_eq!(config.sockets.listen[0].address.to_string(), "0.0.0.0:9090");
    assert_eq!(
        files.redact(&config.sockets.listen[0].origin),
        "http (site.ini line 2)"
    );

    assert_eq!(files.configured("-p 2 {}/site.ini").workers.processes, 4);
    assert_eq!(
        files.configured("--ini {}/site.ini -p 2").workers.processes,
        2
    );

    let blue = files.configured("{}/site.ini:blue --http :9091");
    assert_eq!(
        (
            blue.workers.processes,
            blue.workers.threads,
            blue.sockets.listen.len()
        ),
        (4, 3, 2)
    );
    assert_eq!(blue.app.choice.unwrap().to_string(), "site:app");
}

#[test]
fn errors_in_files() {
    let files: &[&[u8]] = &[
        b"[uwsgi]\n# a comment\nprocesses = four\nmodule = app\n",
        b"[uwsgi]\nmodule = app\nchdir =\n",
        b"[uwsgi]\nmodule = app\nhttp = $(LISTEN)\n",
        b"[app:main]\nuse = egg:x\n[server:main]\n",
        b"",
        b"[uwsgi]\nmodule = \xff\n",
        b"[uwsgi]\nmodule = app\nversion = 2\n",
        b"[uwsgi]\nini = nowhere/other.ini\n",
        b"[uwsgi]\nini = :uwsgi\n",
        b"[uwsgi]\nmodule = app\nstrict = true\nvaccum = true\n",
        b"[uwsgi]\nmodule = app\nroute = ^/a redirct:/b\n",
        b"[uwsgi]\nmodule = app\nroute-if = emtpy:${A} break:\n",
        b"[uwsgi]\nmodule = app\nroute = ^/(a log:x\n",
        b"[uwsgi]\nmodule = app\nroute = ^/a http:127.0.0.1:80\n",
        b"[uwsgi]\nmodule = app\nroute-label = a\nroute-run = goto:a\n",
        b"[uwsgi]\nmodule = app\nfinal-route-run = redirect:/b\n",
        b"[uwsgi]\nmodule = app\nstrict = true\nzzzzzzzzz = true\n",
        b"[uwsgi]\nmodule = app\nsocket = /run/app.sock\nprotocol = raw\n",
        b"[uwsgi]\nif-not-env = DEBUG\nfor = a b\nendif =\n",
        b"[uwsgi]\nmodule = app\nprocesses = ${WORKERS:-2}\n",
        b"[uwsgi]\nini = $(EXTRA_INI)\n",
        b"[uwsgi]\nlogto = /var/log/@(exec://date).log\n",
        b"[uwsgi]\nmodule = app\nplugins = /usr/lib/uwsgi/custom_plugin.so\n",
        b"[uwsgi]\nmodule = app\nhook-post-fork = dance:now\n",
    ];
    let mut text = String::new();
    for file in files {
        let shown = String::from_utf8_lossy(file);
        let files = Files::new(&[("uwsgi.ini", file)]);
        let error = match files.run("{}/uwsgi.ini") {
            Err(error) => files.redact(&error.to_string()),
            Ok(command) => panic!("{shown}: {command:?}"),
        };
        text.push_str(&format!("{shown}=> error: {error}\n\n"));
    }
    check("config__file_errors", &text);
}

#[test]
fn notices_about_files() {
    let files = Files::new(&[(
        "uwsgi.ini",
        b"[uwsgi]\nbase = /srv\nmodule = app\nvaccum = true\nmaster = true ; always\n\
          processes = 4 ; four\nthunder-lock = false\nlog-format = %(uri)\nharakiri = 30\nwsgi-file = app.py\n",
    )]);
    let config = files.configured("{}/uwsgi.ini");
    let mut text = String::new();
    for line in config.warnings.iter().chain(&config.remarks) {
        text.push_str(&files.redact(line));
        text.push('\n');
    }
    check("config__file_notices", &text);
}

/// A variable that a file uses is not a misspelled option.
#[test]
fn variables_that_files_ask_for_are_no_typos() {
    let lines = "[uwsgi]\nmodule = app\nif-env = UWSGI_THREDS=2\nthreads = 2\nendif =\nprocesses = $(UWSGI_PROCESES:3)\n";
    let files = Files::new(&[("uwsgi.ini", lines.as_bytes())]);
    let path = files.0.path().join("uwsgi.ini");
    let variables =
        ["UWSGI_PROCESES", "UWSGI_THREDS", "UWSGI_MASTR"].map(|name| (name.into(), "2".into()));
    let Ok(Command::Run(config)) = config::from_args([path.into()], variables) else {
        panic!("{lines}");
    };
    assert_eq!(config.workers.processes, 2);
    assert_eq!(
        config.warnings,
        ["UWSGI_MASTR is not an option (environment); did you mean UWSGI_MASTER?"]
    );
}

#[test]
fn what_show_config_prints_can_be_loaded_again() {
    let line = "app.py:create('x') -p 3 --http :1 --http /run/a.sock --env A=B --keep-alive 0.5 \
                --limit-post 0 --chmod-socket --isolation main";
    let Ok(Command::ShowConfig(shown)) = run("", &format!("{line} --show-config")) else {
        panic!("{line}");
    };
    let files = Files::new(&[("shown.ini", shown.as_bytes())]);
    let (written, read) = (configured("", line), files.configured("{}/shown.ini"));
    let bare = |config: &Config| {
        let listen: Vec<_> = config
            .sockets
            .listen
            .iter()
            .map(|l| l.address.clone())
            .collect();
        let rest = (
            config.workers.processes,
            config.workers.isolation,
            config.limits.request,
            config.limits.deadlines,
        );
        let more = (
            config.app.choice.clone(),
            config.python.environment_set.clone(),
            config.sockets.mode,
        );
        (listen, rest, more)
    };
    assert_eq!(bare(&written), bare(&read));
    assert_eq!(read.warnings, Vec::<String>::new());
}

#[test]
fn the_sample_files_of_uwsgis_tutorials_are_understood() {
    let files = Files::new(&[
        (
            "uwsgi.xml",
            b"<uwsgi>\n  <http-socket>:9090</http-socket>\n  <module>myapp</module>\n  \
              <workers>4</workers>\n  <threads>2</threads>\n</uwsgi>\n",
        ),
        (
            "uwsgi.ini",
            b"[uwsgi]\nhttp-socket = :9090\nmodule = myapp\nworkers = 4\nthreads = 2\nmaster = true\n",
        ),
    ]);
    for line in [
        "--xml {}/uwsgi.xml",
        "--xmlconfig {}/uwsgi.xml",
        "-x {}/uwsgi.xml",
        "{}/uwsgi.xml",
        "--ini {}/uwsgi.ini",
        "{}/uwsgi.ini",
    ] {
        let config = files.configured(line);
        assert_eq!(
            (config.workers.processes, config.workers.threads),
            (4, 2),
            "{line}"
        );
        assert_eq!(
            config.sockets.listen[0].address.to_string(),
            "0.0.0.0:9090",
            "{line}"
        );
        assert_eq!(config.app.choice.unwrap().to_string(), "myapp", "{line}");
        assert_eq!(config.warnings, Vec::<String>::new(), "{line}");
    }
}

#[test]
fn settings_of_the_process_are_read_into_the_config() {
    let files = Files::new(&[(
        "site.ini",
        b"[uwsgi]\nmodule = site\nchown-socket = www-data:33\numask = 022\nlimit-as = 512M\n\
          procname-prefix-spaced = site\nauto-procname = true\nlogto = udp:127.0.0.1:514\n\
          daemonize = /var/log/site.log\nexec-as-root = mkdir /run/site\nhook-asap = print:hello\n\
          hook-master-start = unix_signal:15 gracefully_kill_them_all\n\
          import = site.tasks\nimport = tasks.py\nadd-header = X-Frame-Options: DENY\nno-initgroups = true\n",
    )]);
    let config = files.configured("{}/site.ini");
    let process = &config.process;
    assert_eq!(process.umask, Some(0o22));
    assert_eq!(process.limit_as_bytes, Some(512 << 20));
    assert_eq!(
        (process.procname.prefix.as_str(), process.procname.automatic),
        ("site ", true)
    );
    assert!(!process.initgroups);
    assert_eq!(
        config.log.target,
        Some(config::LogTarget::Udp("127.0.0.1:514".to_owned()))
    );
    assert_eq!(
        process.daemonize,
        Some(config::LogTarget::File("/var/log/site.log".into()))
    );
    let owner = (
        config::Principal::Name("www-data".to_owned()),
        Some(config::Principal::Number(33)),
    );
    assert_eq!(config.sockets.owner, Some(owner));
    let hooks: Vec<_> = process
        .hooks
        .iter()
        .map(|hook| (hook.phase, hook.action.clone()))
        .collect();
    assert_eq!(
        hooks,
        [
            (
                config::Phase::Asap,
                config::HookAction::Log("hello".to_owned())
            ),
            (
                config::Phase::AsRoot,
                config::HookAction::Exec("mkdir /run/site".to_owned())
            ),
            (
                config::Phase::MasterStart,
                config::HookAction::Signal(config::SignalMeaning::GracefulStop(15)),
            ),
        ]
    );
    assert_eq!(config.python.imports.len(), 2);
    assert_eq!(
        config.http.add_headers,
        [("X-Frame-Options".to_owned(), "DENY".to_owned())]
    );

    // --show-config prints the alias that was used.
    let Ok(Command::ShowConfig(shown)) = files.run("--show-config {}/site.ini") else {
        panic!("no configuration was shown");
    };
    let again = Files::new(&[("again.ini", shown.as_bytes())]).configured("{}/again.ini");
    assert_eq!(again.process.hooks.len(), 3);
    assert_eq!(again.process.umask, process.umask);
    assert_eq!(again.python.imports, config.python.imports);
}

#[test]
fn values_and_commands_are_printed() {
    let files = Files::new(&[(
        "a.ini",
        b"[uwsgi]\nmodule = site\nbase = /srv\nchdir = %(base)/app\n",
    )]);
    let printed = |line: &str| match files.run(line) {
        Ok(Command::Print(text)) => text,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(
        printed("{}/a.ini --get chdir --get base --get workers"),
        "/srv/app\n/srv\n1\n"
    );
    assert!(printed("--completions fish").contains("-l http-socket"));
    assert!(matches!(files.run("--exit=3 app.py"), Ok(Command::Exit(3))));
}

#[test]
fn the_files_in_configs_can_be_loaded() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let arguments = [path.clone().into_os_string(), "--strict".into()];
        match config::from_args(arguments, []) {
            Ok(Command::Run(config)) => {
                assert!(
                    config.warnings.is_empty(),
                    "{}: {:?}",
                    path.display(),
                    config.warnings
                );
            }
            other => panic!("{}: {other:?}", path.display()),
        }
        count += 1;
    }
    assert_eq!(count, 8, "four in ini and four in toml");
}

#[cfg(unix)]
#[test]
fn what_is_not_utf8_is_named() {
    use std::os::unix::ffi::OsStringExt;
    let odd = || OsString::from_vec(vec![b'a', 0xff]);
    let error = config::from_args([OsString::from("app.py"), odd()], []).unwrap_err();
    assert_eq!(
        error.to_string(),
        "argument 2 is not UTF-8: a\u{fffd} (command line)"
    );
    let app = [OsString::from("app.py")];
    let error = config::from_args(app.clone(), [("UWSGI_HTTP".into(), odd())]).unwrap_err();
    assert_eq!(error.to_string(), "UWSGI_HTTP is not UTF-8 (environment)");
    assert!(config::from_args(app, [("OTHER".into(), odd()), (odd(), odd())]).is_ok());
}
