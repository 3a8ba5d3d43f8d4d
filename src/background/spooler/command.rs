//! `singlemalt spool`: works on a spooler's directory from outside, while servers run its tasks.
//! Returns an exit code and the text to print. Main thread of a process of its own.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::disk::Disk;
use super::folder::{BROKEN, FAILED, Folder};
use super::format::Packet;
use super::name;
use super::{lock, new_task};
use crate::config::{SpoolAction, SpoolCommand};

/// The wait has not ended in time.
const TIMEOUT: i32 = 4;
/// Between two looks of `drain`.
const LOOK: Duration = Duration::from_millis(100);
/// Of a value, in `show`.
const SHOWN_BYTES_MAX: usize = 4096;

/// A task, for people.
#[derive(serde::Serialize)]
struct Listed {
    task: String,
    state: &'static str,
    priority: Option<u64>,
    bytes: u64,
    /// Seconds since 1970: when it came, or is to run.
    time: u64,
    tries: u32,
    failure: String,
    #[serde(skip)]
    path: PathBuf,
}

/// Does what the command says.
///
/// # Errors
/// Why it cannot be done, for the person who wrote it.
pub fn run(command: &SpoolCommand, host: &str) -> Result<(i32, String), String> {
    let folder = Folder {
        path: command.folder.clone(),
        disk: Disk::default(),
        is_durable: true,
        host: host.to_owned(),
    };
    if command.action == SpoolAction::Add {
        return add(&folder, command).map(|text| (0, text));
    }
    if !command.folder.is_dir() {
        return Err(format!(
            "there is no directory {}",
            command.folder.display()
        ));
    }
    match command.action {
        SpoolAction::List if command.is_json => Ok((0, json(&list(&folder)?))),
        SpoolAction::List => Ok((0, table(&list(&folder)?))),
        SpoolAction::Show => show(&folder, command).map(|text| (0, text)),
        SpoolAction::Retry => retry(&folder, command).map(|text| (0, text)),
        SpoolAction::Remove => remove(&folder, command).map(|text| (0, text)),
        SpoolAction::Add | SpoolAction::Drain => drain(&folder, command.timeout),
    }
}

fn about(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn list(folder: &Folder) -> Result<Vec<Listed>, String> {
    let mut places = folder.scan().map_err(|error| about(&folder.path, &error))?;
    places.sort();
    let mut all: Vec<Listed> = places
        .into_iter()
        .filter_map(|place| listed(folder, place.path, None))
        .collect();
    for (aside, state) in [(FAILED, "failed"), (BROKEN, "broken")] {
        let path = folder.path.join(aside);
        let mut files = folder.disk.list(&path).unwrap_or_default();
        files.retain(|(name, _)| name::is_task(name));
        files.sort();
        let files = files.into_iter().map(|(_, path)| path);
        all.extend(files.filter_map(|path| listed(folder, path, Some(state))));
    }
    Ok(all)
}

/// `None`: it is done meanwhile.
fn listed(folder: &Folder, path: PathBuf, state: Option<&'static str>) -> Option<Listed> {
    let metadata = std::fs::symlink_metadata(&path).ok()?;
    let modified = metadata.modified().ok()?;
    let state = match state {
        Some(state) => state,
        None if is_running(&path) => "running",
        None if modified > SystemTime::now() => "later",
        None => "waiting",
    };
    let tries = Folder::tries_of(&path);
    let parent = path.parent().filter(|parent| *parent != folder.path);
    let parent = parent.and_then(Path::file_name);
    Some(Listed {
        task: path.file_name()?.to_string_lossy().into_owned(),
        state,
        priority: parent.and_then(|name| name::priority_of(&name.to_string_lossy())),
        bytes: metadata.len(),
        time: seconds(modified),
        tries: tries.count,
        failure: tries.why,
        path,
    })
}

fn is_running(path: &Path) -> bool {
    match lock::open(path) {
        Ok(file) => !lock::lock(&file).unwrap_or(true),
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    }
}

fn table(all: &[Listed]) -> String {
    if all.is_empty() {
        return "no tasks".to_owned();
    }
    let now = seconds(SystemTime::now());
    let mut text = String::from("STATE    PRIORITY      BYTES        AGE  TRIES  TASK");
    for one in all {
        let priority = one.priority.map_or_else(String::new, |one| one.to_string());
        let age = match now.checked_sub(one.time) {
            Some(age) => format!("{age} s"),
            None => format!("in {} s", one.time - now),
        };
        let last = one.failure.lines().last().unwrap_or_default();
        let tail = if last.is_empty() {
            String::new()
        } else {
            format!("  {last}")
        };
        // A String takes everything.
        let _infallible = write!(
            text,
            "\n{:<8} {priority:>8} {:>10} {age:>10} {:>6}  {}{tail}",
            one.state, one.bytes, one.tries, one.task
        );
    }
    text
}

/// The tasks that the names mean.
fn find(folder: &Folder, names: &[String]) -> Result<Vec<Listed>, String> {
    let mut found = Vec::new();
    let mut all = list(folder)?;
    for name in names {
        let wanted = Path::new(name).file_name().unwrap_or_default();
        let wanted = wanted.to_string_lossy();
        let exact = all.iter().position(|one| one.task == wanted);
        let matching: Vec<usize> = (0..all.len())
            .filter(|&at| all[at].task.contains(&*wanted))
            .collect();
        let at = match (exact, &matching[..]) {
            (Some(at), _) => at,
            (None, [at]) => *at,
            (None, []) => return Err(format!("there is no task {name}")),
            (None, several) => {
                return Err(format!(
                    "{} tasks have {name} in their names",
                    several.len()
                ));
            }
        };
        found.push(all.remove(at));
    }
    Ok(found)
}

#[derive(serde::Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    listed: &'a Listed,
    pairs: Vec<(String, String)>,
    body_bytes: usize,
}

fn show(folder: &Folder, command: &SpoolCommand) -> Result<String, String> {
    let text = |bytes: &[u8]| {
        let cut = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
        match std::str::from_utf8(cut) {
            Ok(text) => text.to_owned(),
            Err(_) => cut.escape_ascii().to_string(),
        }
    };
    let mut shown = Vec::new();
    let found = find(folder, &command.names)?;
    for one in &found {
        let bytes = std::fs::read(&one.path).map_err(|error| about(&one.path, &error))?;
        let packet = Packet::decode(&bytes).unwrap_or_default();
        let pairs = packet.pairs.iter();
        let pairs: Vec<_> = pairs.map(|(key, value)| (text(key), text(value))).collect();
        if !command.is_json {
            let mut lines = format!("{}\n  state  {}", one.path.display(), one.state);
            for (key, value) in &pairs {
                lines.push_str(&format!("\n  {key} = {value}"));
            }
            lines.push_str(&format!("\n  body   {} bytes", packet.body.len()));
            if one.tries > 0 {
                lines.push_str(&format!("\n  tries  {}\n{}", one.tries, one.failure));
            }
            shown.push(lines.trim_end().to_owned());
            continue;
        }
        shown.push(json(&Shown {
            listed: one,
            pairs,
            body_bytes: packet.body.len(),
        }));
    }
    if command.is_json {
        return Ok(format!("[{}]", shown.join(",\n")));
    }
    Ok(shown.join("\n\n"))
}

fn retry(folder: &Folder, command: &SpoolCommand) -> Result<String, String> {
    let found = if command.is_all {
        let mut all = list(folder)?;
        all.retain(|one| one.state == "failed");
        all
    } else {
        find(folder, &command.names)?
    };
    for one in &found {
        folder
            .retry(&one.path)
            .map_err(|error| about(&one.path, &error))?;
    }
    Ok(count(found.len(), "to run now"))
}

fn remove(folder: &Folder, command: &SpoolCommand) -> Result<String, String> {
    let found = find(folder, &command.names)?;
    for one in &found {
        if one.state == "running" {
            return Err(format!("{} is running", one.task));
        }
        std::fs::remove_file(&one.path).map_err(|error| about(&one.path, &error))?;
        // Most tasks have no such file.
        drop(std::fs::remove_file(
            one.path.with_file_name(name::tries(&one.task)),
        ));
    }
    Ok(count(found.len(), "removed"))
}

fn count(count: usize, what: &str) -> String {
    let tasks = if count == 1 { "task" } else { "tasks" };
    format!("{count} {tasks} {what}")
}

fn add(folder: &Folder, command: &SpoolCommand) -> Result<String, String> {
    let mut body = Vec::new();
    match command.body.as_deref() {
        None => {}
        Some(path) if path == Path::new("-") => {
            let read = std::io::stdin().read_to_end(&mut body);
            read.map_err(|error| about(Path::new("standard input"), &error))?;
        }
        Some(path) => body = std::fs::read(path).map_err(|error| about(path, &error))?,
    }
    let bytes = |text: &String| text.clone().into_bytes();
    let pairs = command.pairs.iter();
    let task = new_task(Packet {
        pairs: pairs
            .map(|(key, value)| (bytes(key), bytes(value)))
            .collect(),
        body,
    })?;
    folder
        .prepare()
        .map_err(|error| about(&folder.path, &error))?;
    let path = folder.add(&task).map_err(|why| why.to_string())?;
    Ok(path.display().to_string())
}

/// Waits until no task is left that can run by itself. Shows the progress on a terminal.
fn drain(folder: &Folder, timeout: Option<Duration>) -> Result<(i32, String), String> {
    let began = Instant::now();
    let mut most = 0;
    let is_shown = std::io::stderr().is_terminal();
    loop {
        let left = folder
            .scan()
            .map_err(|error| about(&folder.path, &error))?
            .len();
        most = most.max(left);
        if is_shown {
            const WIDTH: usize = 40;
            let done = ((most - left) * WIDTH).checked_div(most).unwrap_or(WIDTH);
            let bar = format!("{}{}", "#".repeat(done), ".".repeat(WIDTH - done));
            let end = if left == 0 { "\n" } else { "" };
            let line = format!("\r[{bar}] {left} left   {end}");
            // A terminal that is gone shows nothing.
            drop(std::io::stderr().write_all(line.as_bytes()));
        }
        if left == 0 {
            let aside = |name: &str| folder.disk.list(&folder.path.join(name));
            let failed = aside(FAILED).map_or(0, |files| {
                files.iter().filter(|(name, _)| name::is_task(name)).count()
            });
            return Ok((0, format!("no task is left; {failed} have failed")));
        }
        if timeout.is_some_and(|timeout| began.elapsed() >= timeout) {
            return Ok((TIMEOUT, count(left, "left")));
        }
        std::thread::sleep(LOOK);
    }
}
