//! The Python stacks of an interpreter's threads.
//!
//! `sys._current_frames()` cannot be used: it makes frame objects of the threads of *all*
//! interpreters and counts references to them from this one, without their GILs. This file walks
//! only the attached interpreter's own states; their threads do not run while we have its GIL.
//! stacks.py replaces `sys._current_frames` by the same walk in every subinterpreter. No Python
//! code runs during the walk, so all stacks are of one moment. Without a GIL the other threads are
//! stopped for the walk, and none of their frames is looked at before or after it.
//!
//! Runs on threads that no other thread waits for (`InterpreterHandle::stacks`), and on workers
//! (`sys._current_frames`).

use std::ffi::CStr;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::ptr::NonNull;

use pyo3_ffi as ffi;

use super::interpreter::{Interpreter, InterpreterHandle};
use super::namespace;
use super::object::{self, Object, Raised, Token};
use super::runtime::error::RuntimeError;
use super::trampoline::{self, Method};
use super::uwsgi::module;
use super::world;

/// The most calls of one thread that are reported: the innermost ones.
const FRAMES_MAX: usize = 200;
/// Lines of source files larger than this are not shown. Bytes.
const SOURCE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// One call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// As the code object has it.
    pub file: String,
    /// From 1; 0 if Python does not know it.
    pub line: usize,
    /// The qualified name of the function.
    pub function: String,
    /// The text of the line, without the blanks around it; empty if the file cannot be read.
    pub text: String,
}

/// A thread of an interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadKey {
    /// CPython's number of its state.
    State(u64),
    /// `threading.get_ident()`: where there is no GIL, CPython itself finds the threads, by this.
    Ident(u64),
}

/// A thread that runs Python code, as it stood at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonStack {
    /// Which thread this is.
    pub thread: ThreadKey,
    /// `threading`'s name of it; `None` for a thread that `threading` did not start.
    pub name: Option<String>,
    /// The method and the path of its request, if one of the outermost calls still has the environ.
    pub request: Option<(String, String)>,
    /// The outermost call first, as in a traceback.
    pub frames: Vec<Frame>,
    /// Outermost calls that were left out.
    pub left_out: usize,
}

impl fmt::Display for PythonStack {
    /// As Python prints a traceback; each line ends with a line feed.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.left_out > 0 {
            writeln!(out, "  [{} outer calls]", self.left_out)?;
        }
        for frame in &self.frames {
            let (file, line, function) = (&frame.file, frame.line, &frame.function);
            writeln!(out, "  File \"{file}\", line {line}, in {function}")?;
            if !frame.text.is_empty() {
                writeln!(out, "    {}", frame.text)?;
            }
        }
        Ok(())
    }
}

impl PythonStack {
    /// Fills in the text of each line. Reads files: call it detached, on a thread that may wait.
    pub(super) fn read_sources(&mut self) {
        for frame in &mut self.frames {
            if let Some(text) = source_line(&frame.file, frame.line) {
                frame.text.clear();
                // Shown on terminals, so control characters are escaped.
                for letter in text.trim().chars() {
                    match letter {
                        '\t' => frame.text.push(' '),
                        _ if letter.is_control() => {
                            write!(frame.text, "{}", letter.escape_default()).ok();
                        }
                        _ => frame.text.push(letter),
                    }
                }
            }
        }
    }
}

fn source_line(path: &str, line: usize) -> Option<String> {
    let index = line.checked_sub(1)?;
    // Reading a pipe could block for ever.
    let facts = std::fs::metadata(path).ok()?;
    if !facts.is_file() || facts.len() > SOURCE_BYTES_MAX {
        return None;
    }
    let file = File::open(path).ok()?.take(SOURCE_BYTES_MAX);
    let mut lines = BufReader::new(file).split(b'\n');
    let text = lines.nth(index)?.ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

impl InterpreterHandle {
    /// The threads of the interpreter that run Python code. Waits for its GIL without a limit, and
    /// reads files: call it on a thread that has no other work and belongs to no interpreter.
    /// `None`: another such thread waits for that GIL already.
    ///
    /// # Errors
    /// [`RuntimeError::Gone`] if the interpreter is being ended.
    pub fn stacks(&self) -> Result<Option<Vec<PythonStack>>, RuntimeError> {
        let interpreter = &*self.0;
        let Some(look) = interpreter.begin_look() else {
            return Ok(None);
        };
        let mut stacks = interpreter.visit(|token| all(token, interpreter))?;
        drop(look);
        for stack in &mut stacks {
            stack.read_sources();
        }
        Ok(Some(stacks))
    }
}

/// One thread, if it runs Python code. Without the texts of its lines.
pub(super) fn of_thread(
    token: Token<'_>,
    interpreter: &Interpreter,
    is_wanted: impl Fn(ThreadKey) -> bool,
) -> Option<PythonStack> {
    let mut chains = chains(token, interpreter).into_iter();
    let (thread, chain) = chains.find(|(thread, _)| is_wanted(*thread))?;
    Some(of_chain(thread, &chain))
}

fn all(token: Token<'_>, interpreter: &Interpreter) -> Vec<PythonStack> {
    let chains = chains(token, interpreter);
    let mut stacks: Vec<_> = chains
        .iter()
        .map(|(thread, chain)| of_chain(*thread, chain))
        .collect();
    for (stack, (thread, chain)) in stacks.iter_mut().zip(&chains) {
        let described = match thread {
            ThreadKey::State(_) => described(chain),
            // Its variables change while it runs.
            ThreadKey::Ident(ident) => named(token, *ident).map(|name| (name, None)),
        };
        if let Ok((name, request)) = described {
            (stack.name, stack.request) = (name, request);
        }
        drop(object::take_exception(token));
    }
    stacks
}

/// The calls of every thread that runs Python code.
fn chains<'py>(
    token: Token<'py>,
    interpreter: &Interpreter,
) -> Vec<(ThreadKey, Vec<CallOfThread<'py>>)> {
    if !world::CAN_STOP {
        return Vec::new();
    }
    let threads = innermost(token, interpreter).into_iter();
    let _stopped = world::stop(token);
    threads
        .map(|(thread, frame)| (thread, chain_of(frame)))
        .collect()
}

fn innermost<'py>(token: Token<'py>, interpreter: &Interpreter) -> Vec<(ThreadKey, Object<'py>)> {
    if interpreter.free_threaded {
        return of_free_threads(token).unwrap_or_else(|Raised| {
            drop(object::take_exception(token));
            Vec::new()
        });
    }
    let mut frames = Vec::new();
    for state in interpreter.states(token) {
        // SAFETY: attached (token) to the interpreter of these states. A state is removed from its
        // interpreter only by a holder of the GIL, which we have held since `states`: neither call
        // below runs Python code. Its thread runs none either, so its frames do not change.
        let (id, frame) = unsafe {
            let frame = ffi::PyThreadState_GetFrame(state.as_ptr());
            (ffi::PyThreadState_GetID(state.as_ptr()), frame)
        };
        // SAFETY: a new reference, or null; attached (token).
        match unsafe { Object::from_new(token, frame.cast()) } {
            Ok(frame) => frames.push((ThreadKey::State(id as u64), frame)),
            // It runs no Python code, or there is no memory for the frame object.
            Err(Raised) => drop(object::take_exception(token)),
        }
    }
    frames
}

/// Without a GIL there are no subinterpreters, and `sys._current_frames()` stops the other threads
/// for its walk.
fn of_free_threads(token: Token<'_>) -> Result<Vec<(ThreadKey, Object<'_>)>, Raised> {
    let namespace = namespace::namespace(token)?;
    let pairs = namespace::find(&namespace, c"current_frame_pairs")?.call([])?;
    let mut frames = Vec::new();
    // SAFETY: a live tuple; attached (token).
    let count = unsafe { ffi::PyTuple_Size(pairs.as_ptr()) };
    for at in 0..usize::try_from(count).unwrap_or(0) {
        let pair = pairs.element(at)?;
        let ident = pair.element(0)?.to_u64()?;
        frames.push((ThreadKey::Ident(ident), pair.element(1)?));
    }
    Ok(frames)
}

/// A call that had not returned when its thread was looked at.
struct CallOfThread<'py> {
    frame: Object<'py>,
    line: usize,
    /// Does not change, whatever its thread does.
    code: Option<Object<'py>>,
}

impl<'py> CallOfThread<'py> {
    /// Runs no Python code.
    fn of(frame: Object<'py>) -> Self {
        // SAFETY: a live frame object, whose thread does not run; its code is a new reference.
        // Attached (the token of `frame`).
        let (line, code) = unsafe {
            let pointer = frame.as_ptr().cast();
            let line = ffi::PyFrame_GetLineNumber(pointer);
            (
                line,
                Object::from_new(frame.token(), ffi::PyFrame_GetCode(pointer).cast()),
            )
        };
        Self {
            frame,
            line: usize::try_from(line).unwrap_or(0),
            code: code.ok(),
        }
    }
}

fn chain_of(innermost: Object<'_>) -> Vec<CallOfThread<'_>> {
    let token = innermost.token();
    let mut chain = vec![CallOfThread::of(innermost)];
    while let Some(inner) = chain.last() {
        // SAFETY: `inner` is a live frame object; the call gives a new reference or null, and runs
        // no Python code.
        let outer = unsafe { ffi::PyFrame_GetBack(inner.frame.as_ptr().cast()) };
        // SAFETY: as the line above says; attached (token).
        match unsafe { Object::from_new(token, outer.cast()) } {
            Ok(outer) => chain.push(CallOfThread::of(outer)),
            Err(Raised) => break,
        }
    }
    drop(object::take_exception(token));
    chain
}

/// The file and line of the Python code that runs on this thread, for messages.
pub(super) fn place_here(token: Token<'_>) -> String {
    // SAFETY: attached (token); the frame is borrowed from the thread state, or null.
    let here = unsafe { Object::from_borrowed(token, ffi::PyEval_GetFrame().cast()) };
    match here {
        Ok(here) => {
            let Frame { file, line, .. } = frame(&CallOfThread::of(here));
            format!("{file}, line {line}")
        }
        Err(Raised) => {
            drop(object::take_exception(token));
            String::from("an extension")
        }
    }
}

fn of_chain(thread: ThreadKey, chain: &[CallOfThread<'_>]) -> PythonStack {
    let mut frames: Vec<Frame> = chain.iter().take(FRAMES_MAX).map(frame).collect();
    frames.reverse();
    PythonStack {
        thread,
        name: None,
        request: None,
        left_out: chain.len() - frames.len(),
        frames,
    }
}

fn frame(call: &CallOfThread<'_>) -> Frame {
    let token = call.frame.token();
    let text = |name: &CStr| -> String {
        let code = call.code.as_ref().ok_or(Raised);
        let text = code.and_then(|code| code.attribute(name));
        text.map_or_else(|Raised| String::new(), |text| text.to_text())
    };
    let told = Frame {
        file: text(c"co_filename"),
        line: call.line,
        function: text(c"co_qualname"),
        text: String::new(),
    };
    drop(object::take_exception(token));
    told
}

type Described = (Option<String>, Option<(String, String)>);

/// The thread's name and the request, from its outermost calls.
fn described(chain: &[CallOfThread<'_>]) -> Result<Described, Raised> {
    /// How many of the outermost calls may have the environ: a few layers of middleware.
    const OUTERMOST: usize = 8;
    let Some(outermost) = chain.last() else {
        return Ok((None, None));
    };
    let token = outermost.frame.token();
    let outer = Object::list(token)?;
    for call in chain.iter().rev().take(OUTERMOST) {
        outer.push(&call.frame)?;
    }
    let namespace = namespace::namespace(token)?;
    let told = namespace::find(&namespace, c"describe_stack")?.call([&outer])?;
    let text = |at| -> Result<Option<String>, Raised> {
        let text = told.element(at)?;
        Ok((!text.is_none()).then(|| text.to_text()))
    };
    let request = match (text(1)?, text(2)?) {
        (Some(method), Some(path)) => Some((method, path)),
        _ => None,
    };
    Ok((text(0)?, request))
}

/// `threading`'s name of the thread with this ident, if it has started it.
fn named(token: Token<'_>, ident: u64) -> Result<Option<String>, Raised> {
    let namespace = namespace::namespace(token)?;
    let name =
        namespace::find(&namespace, c"name_of_thread")?.call([&Object::int(token, ident)?])?;
    Ok((!name.is_none()).then(|| name.to_text()))
}

/// Pairs of state numbers and innermost frames, of the interpreter it is called in.
pub(super) static OWN_FRAMES: Method = Method::one(c"own_frames", own_frames);

unsafe extern "C" fn own_frames(
    _self: *mut ffi::PyObject,
    _argument: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython.
    unsafe {
        trampoline::object(|token| {
            let pairs = Object::list(token)?;
            let Some(interpreter) = module::own_interpreter(token)? else {
                return Ok(pairs);
            };
            for (thread, frame) in innermost(token, &interpreter) {
                let ThreadKey::State(state) = thread else {
                    continue;
                };
                let pair = Object::list(token)?;
                pair.push(&Object::int(token, state)?)?;
                pair.push(&frame)?;
                pairs.push(&pair)?;
            }
            Ok(pairs)
        })
    }
}

/// CPython's number of the calling thread's state.
pub(super) fn own_state(_attached: Token<'_>) -> u64 {
    // SAFETY: attached (token), so there is a state.
    unsafe { ffi::PyThreadState_GetID(ffi::PyThreadState_Get()) as u64 }
}

impl Interpreter {
    /// The thread states of the interpreter; they stay while the GIL is held.
    fn states(&self, _attached: Token<'_>) -> Vec<NonNull<ffi::PyThreadState>> {
        let mut states = Vec::new();
        // Our own threads make their states detached, under this mutex; its holders wait for
        // nothing.
        let _members = self.keep_members();
        // SAFETY: attached (token), so states that Python's own threads have come and go with the
        // GIL, which we have. The interpreter is alive, since we are in it.
        unsafe {
            let mut state =
                ffi::PyInterpreterState_ThreadHead(self.address as *mut ffi::PyInterpreterState);
            while let Some(this) = NonNull::new(state) {
                states.push(this);
                state = ffi::PyThreadState_Next(state);
            }
        }
        states
    }
}
