//! Frees the memory that CPython 3.12 and 3.13 leak when an own-GIL interpreter ends (gh-113055).
//!
//! Two things leak for each interpreter, that is for each reload: its memory *arenas* (1.8 MB bare,
//! 22 MB with Django), and two *nodes* of the tree in which its allocator finds an arena by an
//! address (0.4 MB). This file records every arena with the interpreter that asked for it, and the
//! nodes, which the allocator asks for right after an arena; after the interpreter has ended, it
//! frees those that are left.
//!
//! Only interpreters with an allocator state of their own (`use_main_obmalloc = 0`, so: own-GIL
//! ones) are recorded; arenas that a shared-GIL interpreter asks for belong to the main
//! interpreter. Called by CPython on any thread.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::{LazyLock, OnceLock};

use parking_lot::Mutex;
use pyo3_ffi as ffi;

/// The owner of each arena and node. Addresses are numbers here: compared and freed, never
/// dereferenced.
#[derive(Default)]
struct Ledger {
    /// By the address of an arena.
    arenas: HashMap<usize, Piece>,
    /// By the address of a node.
    nodes: HashMap<usize, Piece>,
    /// Interpreters with an allocator state of their own.
    owners: HashSet<usize>,
}

#[derive(Clone, Copy)]
struct Piece {
    /// The address of the interpreter.
    owner: usize,
    bytes: usize,
}

static LEDGER: LazyLock<Mutex<Ledger>> = LazyLock::new(Mutex::default);
static SYSTEM: OnceLock<System> = OnceLock::new();

thread_local! {
    /// Whether this thread is in the middle of making an own-GIL interpreter: arenas are asked for
    /// before the pointer to the new interpreter is known here.
    static CREATING: Cell<bool> = const { Cell::new(false) };
}

struct System(ffi::PyObjectArenaAllocator);

// SAFETY: the struct holds two function pointers and a context that CPython itself uses from every
// thread.
unsafe impl Send for System {}
// SAFETY: as above; nothing in it is ever written after `install`.
unsafe impl Sync for System {}

/// Puts the ledger in front of CPython's own allocators. Main thread, attached, before any other
/// interpreter.
pub(crate) fn install() {
    let mut system = MaybeUninit::<ffi::PyObjectArenaAllocator>::zeroed();
    // SAFETY: the call fills all of `system`.
    let system = unsafe {
        ffi::PyObject_GetArenaAllocator(system.as_mut_ptr());
        system.assume_init()
    };
    if SYSTEM.set(System(system)).is_err() {
        return;
    }
    let mut ours = ffi::PyObjectArenaAllocator {
        ctx: std::ptr::null_mut(),
        alloc: Some(alloc),
        free: Some(free),
    };
    // SAFETY: both functions hand on to the allocator before, so arenas of before and after may be
    // freed by either.
    unsafe { ffi::PyObject_SetArenaAllocator(&raw mut ours) }
    nodes::install();
}

/// Runs `create`, which makes an own-GIL interpreter on this thread, and notes what it asks for.
pub(crate) fn noting<R>(create: impl FnOnce() -> R) -> R {
    CREATING.set(true);
    let made = create();
    CREATING.set(false);
    made
}

/// Gives back what an own-GIL interpreter left behind. Returns how many bytes that was.
///
/// # Safety
/// `Py_EndInterpreter` must have returned for the interpreter that was at `interpreter`, and Rust
/// must hold nothing of it. Call it under the lifecycle mutex, so that no new interpreter can have
/// taken the same address.
pub(crate) unsafe fn give_back(interpreter: usize) -> usize {
    let Some(System(system)) = SYSTEM.get() else {
        return 0;
    };
    let mut left = Ledger::default();
    {
        let mut ledger = LEDGER.lock();
        ledger.owners.remove(&interpreter);
        let is_left = |_: &usize, piece: &mut Piece| piece.owner == interpreter;
        left.arenas.extend(ledger.arenas.extract_if(is_left));
        left.nodes.extend(ledger.nodes.extract_if(is_left));
    }
    let mut freed = 0;
    for (address, piece) in left.arenas {
        if let Some(give) = system.free {
            give(system.ctx, address as *mut c_void, piece.bytes);
            freed += piece.bytes;
        }
    }
    for (address, piece) in left.nodes {
        // SAFETY: the node was mapped by this file with that size, is out of the ledger, and its
        // only user, the allocator state of the interpreter, is gone.
        unsafe { nodes::unmap(address, piece.bytes) };
        freed += piece.bytes;
    }
    freed
}

/// How many bytes the interpreter at `interpreter` holds in arenas and nodes, or all own-GIL ones.
pub(crate) fn held_bytes(interpreter: Option<usize>) -> usize {
    let ledger = LEDGER.lock();
    let held = ledger.arenas.values().chain(ledger.nodes.values());
    held.filter(|piece| interpreter.is_none_or(|asked| asked == piece.owner))
        .map(|piece| piece.bytes)
        .sum()
}

extern "C" fn alloc(_context: *mut c_void, size: usize) -> *mut c_void {
    let Some(System(system)) = SYSTEM.get() else {
        return std::ptr::null_mut();
    };
    let Some(system_alloc) = system.alloc else {
        return std::ptr::null_mut();
    };
    let arena = system_alloc(system.ctx, size);
    if arena.is_null() {
        return arena;
    }
    // SAFETY: CPython asks for an arena only on behalf of an attached thread: it has just found its
    // allocator state through the interpreter of the current thread state.
    let interpreter = unsafe { ffi::PyInterpreterState_Get() };
    // SAFETY: the main interpreter exists since `install`; only its address is used.
    let is_main = interpreter == unsafe { ffi::PyInterpreterState_Main() };
    if is_main {
        return arena;
    }
    let owner = interpreter as usize;
    let mut ledger = LEDGER.lock();
    if CREATING.get() {
        ledger.owners.insert(owner);
    }
    if ledger.owners.contains(&owner) {
        let piece = Piece { owner, bytes: size };
        ledger.arenas.insert(arena as usize, piece);
        nodes::expect(owner);
    }
    arena
}

extern "C" fn free(_context: *mut c_void, arena: *mut c_void, size: usize) {
    let Some(System(system)) = SYSTEM.get() else {
        return;
    };
    LEDGER.lock().arenas.remove(&(arena as usize));
    if let Some(system_free) = system.free {
        system_free(system.ctx, arena, size);
    }
}

/// The nodes: large, zeroed blocks that the allocator asks the raw domain for, at most four right
/// after an arena. They get pages of their own here, so that a raw free can tell by the address
/// alone that something is not one of them.
#[cfg(unix)]
mod nodes {
    use super::*;

    /// The sizes of a node in the middle and at the bottom of the tree, on 64-bit systems. Bytes.
    const SIZES: [usize; 2] = [8 << 15, 8 << 14];
    /// Both ends of an arena may need a node of each size.
    const EXPECTED_MAX: u8 = 4;
    const PAGE_MASK: usize = 0xfff;

    static RAW: OnceLock<Raw> = OnceLock::new();

    thread_local! {
        /// The owner of the arena that this thread asked for last, and how many zeroed blocks may
        /// still be its nodes.
        static EXPECTED: Cell<(usize, u8)> = const { Cell::new((0, 0)) };
    }

    struct Raw(ffi::PyMemAllocatorEx);

    // SAFETY: the struct holds function pointers and a context that CPython itself uses from every
    // thread.
    unsafe impl Send for Raw {}
    // SAFETY: as above; nothing in it is ever written after `install`.
    unsafe impl Sync for Raw {}

    pub(crate) fn install() {
        let domain = || ffi::PyMemAllocatorDomain::PYMEM_DOMAIN_RAW;
        let mut raw = MaybeUninit::<ffi::PyMemAllocatorEx>::zeroed();
        // SAFETY: the call fills all of `raw`.
        let raw = unsafe {
            ffi::PyMem_GetAllocator(domain(), raw.as_mut_ptr());
            raw.assume_init()
        };
        // malloc and realloc stay as they are, and with them the context.
        let mut ours = ffi::PyMemAllocatorEx {
            calloc: Some(calloc),
            free: Some(free),
            ..raw
        };
        if RAW.set(Raw(raw)).is_ok() {
            // SAFETY: what is not a node is handed on to the allocator before, so either may free
            // it. A node is never resized: the tree does not. The new functions may be called from
            // any thread, also a detached one.
            unsafe { ffi::PyMem_SetAllocator(domain(), &raw mut ours) }
        }
    }

    /// The thread has asked for an arena for `owner`.
    pub(crate) fn expect(owner: usize) {
        EXPECTED.set((owner, EXPECTED_MAX));
    }

    extern "C" fn calloc(context: *mut c_void, count: usize, size: usize) -> *mut c_void {
        let (owner, expected) = EXPECTED.get();
        if expected > 0 {
            if count == 1 && SIZES.contains(&size) {
                EXPECTED.set((owner, expected - 1));
                let node = map(size);
                if !node.is_null() {
                    let piece = Piece { owner, bytes: size };
                    LEDGER.lock().nodes.insert(node as usize, piece);
                }
                return node;
            }
            // Another block: the nodes of that arena are complete.
            EXPECTED.set((0, 0));
        }
        match RAW.get().and_then(|Raw(raw)| raw.calloc) {
            Some(calloc) => calloc(context, count, size),
            None => std::ptr::null_mut(),
        }
    }

    extern "C" fn free(context: *mut c_void, block: *mut c_void) {
        if block as usize & PAGE_MASK == 0 && !block.is_null() {
            let node = LEDGER.lock().nodes.remove(&(block as usize));
            if let Some(piece) = node {
                // SAFETY: the node was mapped by this file with that size, and CPython gives it
                // back.
                return unsafe { unmap(block as usize, piece.bytes) };
            }
        }
        if let Some(free) = RAW.get().and_then(|Raw(raw)| raw.free) {
            free(context, block);
        }
    }

    /// Zeroed pages, of which only those cost memory that are written to.
    fn map(bytes: usize) -> *mut c_void {
        // SAFETY: a new private mapping at an address of the system's choice touches nothing that
        // exists.
        let node = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANON,
                -1,
                0,
            )
        };
        if node == libc::MAP_FAILED {
            std::ptr::null_mut()
        } else {
            node
        }
    }

    /// # Safety
    /// `address` came from `map(bytes)` and is not used any more.
    pub(crate) unsafe fn unmap(address: usize, bytes: usize) {
        // SAFETY: the caller's promise. It cannot fail for a mapping that is ours.
        unsafe { libc::munmap(address as *mut c_void, bytes) };
    }
}

/// Elsewhere the nodes stay behind.
#[cfg(not(unix))]
mod nodes {
    pub(crate) fn install() {}
    pub(crate) fn expect(_owner: usize) {}
    pub(crate) unsafe fn unmap(_address: usize, _bytes: usize) {}
}
