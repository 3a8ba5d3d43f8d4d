//! The body against an independent model: a `Vec` and a position, read one byte at a time. Both
//! kinds of body (memory, file) run the same random programs and must agree with it. The judge for
//! the model itself is the real `io.BytesIO`, in python-tests; the fixed cases below were read off
//! it.

use proptest::prelude::*;

use std::fs::File;

use super::spill::WINDOW_BYTES;
use super::*;

/// `io.BytesIO`, written as slowly and plainly as possible.
#[derive(Default)]
struct Model {
    bytes: Vec<u8>,
    position: i128,
}

impl Model {
    fn next_byte(&mut self) -> Option<u8> {
        let byte = usize::try_from(self.position)
            .ok()
            .and_then(|at| self.bytes.get(at))
            .copied();
        self.position += i128::from(byte.is_some());
        byte
    }

    fn read(&mut self, size: Option<usize>) -> Vec<u8> {
        let mut out = Vec::new();
        while size.is_none_or(|size| out.len() < size) {
            match self.next_byte() {
                Some(byte) => out.push(byte),
                None => break,
            }
        }
        out
    }

    fn readline(&mut self, size: Option<usize>) -> Vec<u8> {
        let mut out = Vec::new();
        while size.is_none_or(|size| out.len() < size) && out.last() != Some(&b'\n') {
            match self.next_byte() {
                Some(byte) => out.push(byte),
                None => break,
            }
        }
        out
    }

    fn seek(&mut self, offset: i64, whence: Whence) -> Result<u64, SeekError> {
        let base = match whence {
            Whence::Start if offset < 0 => return Err(SeekError::Negative(offset)),
            Whence::Start => 0,
            Whence::Current => self.position,
            Whence::End => self.bytes.len() as i128,
        };
        let to = base + i128::from(offset);
        if to > i128::from(i64::MAX) {
            return Err(SeekError::TooLarge);
        }
        self.position = to.max(0);
        Ok(self.position as u64)
    }
}

#[derive(Clone, Debug)]
enum Op {
    Push(Vec<u8>),
    Read(Option<usize>),
    ReadInto(usize),
    ReadLine(Option<usize>),
    TakeSlice(Option<usize>),
    TakePieces(Option<usize>),
    /// So many bytes are written where the body has room for them.
    Fill(usize),
    TakeLine(Option<usize>),
    Seek(i64, Whence),
}

fn read(body: &mut RequestBody, size: Option<usize>) -> Vec<u8> {
    let mut out = b"kept".to_vec();
    body.read(size, &mut out).expect("a sound file");
    out.split_off(4)
}

fn readline(body: &mut RequestBody, size: Option<usize>) -> Vec<u8> {
    let mut out = b"kept".to_vec();
    body.readline(size, &mut out).expect("a sound file");
    out.split_off(4)
}

/// Room for bodies of so many bytes.
fn memory(body_bytes_max: usize) -> Arc<BodyMemory> {
    Arc::new(BodyMemory::new(body_bytes_max))
}

/// The same, in pages so small that everything crosses their borders.
fn small_pages(body_bytes_max: usize) -> Arc<BodyMemory> {
    Arc::new(BodyMemory::of_pages(body_bytes_max, 7, usize::MAX))
}

fn check(memory: &Arc<BodyMemory>, ops: &[Op]) {
    let memory_bytes_max = memory.body_bytes_max();
    let mut body = RequestBody::default();
    let mut model = Model::default();
    for op in ops {
        match op {
            Op::Push(data) => {
                body.push(data, memory).expect("a sound file");
                model.bytes.extend_from_slice(data);
            }
            Op::Fill(want) => {
                let room = body.room(*want);
                assert!(room.len() <= *want, "{op:?}");
                room.fill(b'f');
                let count = room.len();
                body.filled(count);
                model.bytes.resize(model.bytes.len() + count, b'f');
            }
            Op::Read(size) => assert_eq!(read(&mut body, *size), model.read(*size), "{op:?}"),
            Op::ReadInto(size) => {
                let mut out = vec![0; *size];
                let count = body.read_into(&mut out).expect("a sound file");
                assert_eq!(&out[..count], model.read(Some(*size)), "{op:?}");
            }
            Op::ReadLine(size) => {
                assert_eq!(readline(&mut body, *size), model.readline(*size), "{op:?}")
            }
            Op::TakeSlice(size) => {
                let in_memory = body.is_in_one_piece();
                match body.take_slice(*size) {
                    Some(slice) => assert_eq!(slice, model.read(*size), "{op:?}"),
                    None => assert!(!in_memory),
                }
            }
            Op::TakePieces(size) => {
                let mut pieces = Vec::new();
                if body.take_pieces(*size, |piece| pieces.extend_from_slice(piece)) {
                    assert_eq!(pieces, model.read(*size), "{op:?}");
                } else {
                    assert!(pieces.is_empty() && !body.is_in_memory(), "{op:?}");
                }
            }
            Op::TakeLine(size) => {
                let in_memory = body.is_in_one_piece();
                match body.take_line(*size) {
                    Some(line) => assert_eq!(line, model.readline(*size), "{op:?}"),
                    None => assert!(!in_memory),
                }
            }
            Op::Seek(offset, whence) => {
                assert_eq!(
                    body.seek(*offset, *whence),
                    model.seek(*offset, *whence),
                    "{op:?}"
                );
            }
        }
        assert_eq!(i128::from(body.tell()), model.position, "after {op:?}");
        assert_eq!(body.len(), model.bytes.len() as u64, "after {op:?}");
        assert_eq!(
            body.is_in_memory(),
            model.bytes.len() <= memory_bytes_max,
            "after {op:?}"
        );
    }
}

fn sizes() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![
        Just(None),
        Just(Some(0)),
        (1usize..200).prop_map(Some),
        Just(Some(WINDOW_BYTES)),
        Just(Some(usize::MAX))
    ]
}

/// Lines short and long, some without an end, and some pieces larger than the window.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let small = prop::collection::vec(
        prop_oneof![3 => Just(b'a'), 1 => Just(b'\n'), 1 => Just(b'\r'), 1 => any::<u8>()],
        0..80,
    );
    let large = (0..3 * WINDOW_BYTES, 1..WINDOW_BYTES).prop_map(|(length, line)| {
        (0..length)
            .map(|at| {
                if at % line == line - 1 {
                    b'\n'
                } else {
                    (at % 251) as u8
                }
            })
            .collect::<Vec<u8>>()
    });
    prop_oneof![12 => small, 1 => large]
}

fn ops() -> impl Strategy<Value = Op> {
    let whence = prop_oneof![
        Just(Whence::Start),
        Just(Whence::Current),
        Just(Whence::End)
    ];
    let offset = prop_oneof![8 => -300i64..300, 2 => -200_000i64..200_000, 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    prop_oneof![
        3 => pieces().prop_map(Op::Push),
        2 => sizes().prop_map(Op::Read),
        1 => (0usize..100_000).prop_map(Op::ReadInto),
        3 => sizes().prop_map(Op::ReadLine),
        1 => sizes().prop_map(Op::TakeSlice),
        1 => sizes().prop_map(Op::TakeLine),
        1 => sizes().prop_map(Op::TakePieces),
        1 => (0usize..200).prop_map(Op::Fill),
        2 => (offset, whence).prop_map(|(offset, whence)| Op::Seek(offset, whence)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_pages_and_file_read_as_the_model_does(
        first in pieces(),
        program in prop::collection::vec(ops(), 1..40),
    ) {
        let mut ops = vec![Op::Push(first)];
        ops.extend(program);
        for memory_bytes_max in [usize::MAX, 100, 0] {
            check(&memory(memory_bytes_max), &ops);
        }
        for memory_bytes_max in [usize::MAX, 100] {
            check(&small_pages(memory_bytes_max), &ops);
        }
    }
}

/// The same text in memory, in pages of it and in a file.
fn each_kind(text: &[u8]) -> [RequestBody; 3] {
    [memory(usize::MAX), small_pages(usize::MAX), memory(0)].map(|memory| {
        let mut body = RequestBody::default();
        body.push(text, &memory).expect("a sound file");
        body
    })
}

#[test]
fn reads_as_bytes_io_does() {
    for mut body in each_kind(b"one\ntwo\r\n\nlast") {
        assert_eq!(readline(&mut body, Some(0)), b"");
        assert_eq!(readline(&mut body, Some(2)), b"on");
        assert_eq!(readline(&mut body, Some(9)), b"e\n");
        assert_eq!(readline(&mut body, None), b"two\r\n");
        assert_eq!(read(&mut body, Some(0)), b"");
        assert_eq!(body.tell(), 9);
        assert_eq!(readline(&mut body, None), b"\n");
        assert_eq!(readline(&mut body, None), b"last");
        assert_eq!(read(&mut body, None), b"");
        assert_eq!(readline(&mut body, None), b"");

        assert_eq!(body.seek(-4, Whence::End), Ok(10));
        assert_eq!(read(&mut body, Some(100)), b"last");
        assert_eq!(body.seek(-1, Whence::Start), Err(SeekError::Negative(-1)));
        assert_eq!(body.tell(), 14, "a refused seek moves nothing");
        assert_eq!(body.seek(-99, Whence::Current), Ok(0));
        assert_eq!(body.seek(99, Whence::End), Ok(113));
        assert_eq!(read(&mut body, None), b"");
        assert_eq!(readline(&mut body, None), b"");
        assert_eq!(
            body.seek(i64::MAX, Whence::Current),
            Err(SeekError::TooLarge)
        );
        assert_eq!(body.seek(i64::MAX, Whence::Start), Ok(i64::MAX as u64));
        assert_eq!(read(&mut body, Some(1)), b"");
    }
}

#[test]
fn the_empty_body_reads_as_nothing_and_allocates_nothing() {
    let mut body = RequestBody::default();
    assert!(body.is_empty() && body.is_in_memory());
    body.push(b"", &memory(0)).expect("no file is made");
    assert!(
        body.is_in_memory(),
        "an empty push at bound 0 stays in memory"
    );
    assert_eq!(body.take_slice(None), Some(&b""[..]));
    assert_eq!(body.take_line(Some(5)), Some(&b""[..]));
}

#[test]
fn the_memory_bound_bites_one_byte_past_it() {
    let mut body = RequestBody::default();
    body.push(b"12345", &memory(8)).expect("memory");
    body.push(b"678", &memory(8)).expect("memory");
    assert!(body.is_in_memory(), "exactly at the bound");
    body.push(b"9", &memory(8)).expect("file");
    assert!(!body.is_in_memory(), "one past it");
    assert_eq!(body.take_slice(None), None);
    body.push(b"0", &memory(usize::MAX)).expect("file");
    assert!(!body.is_in_memory(), "it does not come back");
    assert_eq!(read(&mut body, None), b"1234567890");
}

#[test]
fn pushing_between_reads_loses_nothing() {
    let mut body = RequestBody::default();
    body.push(b"ab\ncd", &memory(0)).expect("file");
    assert_eq!(readline(&mut body, None), b"ab\n");
    body.push(b"ef\n", &memory(0)).expect("file");
    assert_eq!(readline(&mut body, None), b"cdef\n");
    assert_eq!(body.tell(), body.len());
}

#[test]
fn a_file_is_read_in_windows_whatever_the_line_length() {
    let line = [vec![b'x'; 3 * WINDOW_BYTES + 17], b"\n".to_vec()].concat();
    let text = [&line[..], b"short\n", &line, b"end"].concat();
    for mut body in each_kind(&text) {
        assert_eq!(readline(&mut body, None), line);
        assert_eq!(readline(&mut body, None), b"short\n");
        assert_eq!(readline(&mut body, None), line);
        assert_eq!(readline(&mut body, None), b"end");
    }
}

/// A body in a file, and the file's handle in the test's hands.
fn on(file: File) -> RequestBody {
    RequestBody {
        store: Store::File(Box::new(Spill::on(file, BodyMemory::new(0).files()))),
        position: 0,
    }
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_and_loses_no_count() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let mut body = on(File::open(manifest).expect("opened for reading only"));
    body.push(b"small", &memory(0))
        .expect("gathered in the window");
    let error = body
        .push(&[0; WINDOW_BYTES], &memory(0))
        .expect_err("no way to write");
    assert!(
        error
            .to_string()
            .starts_with("cannot write a request body to its temporary file: ")
    );
    assert_eq!(body.len(), 5, "what was refused is not counted");
    let mut out = b"kept".to_vec();
    assert!(body.read(None, &mut out).is_err() && body.readline(None, &mut out).is_err());
    assert_eq!((&out[..], body.tell()), (&b"kept"[..], 0));
}

#[test]
fn a_file_that_lost_its_bytes_is_an_error_and_moves_nothing() {
    let file = tempfile::tempfile().expect("a temporary file");
    let mut body = on(file.try_clone().expect("a second handle"));
    body.push(&vec![b'x'; 3 * WINDOW_BYTES], &memory(0))
        .expect("a sound file");
    file.set_len(10).expect("cut");
    let mut out = b"kept".to_vec();
    for size in [None, Some(1), Some(2 * WINDOW_BYTES)] {
        let error = body.read(size, &mut out).expect_err("bytes are missing");
        assert!(
            error
                .to_string()
                .starts_with("cannot read a request body back from its temporary file: ")
        );
        assert!(body.readline(size, &mut out).is_err());
        assert_eq!((&out[..], body.tell()), (&b"kept"[..], 0));
    }
    file.set_len(3 * WINDOW_BYTES as u64)
        .expect("grown again, with zeros");
    assert_eq!(
        read(&mut body, Some(11)),
        b"xxxxxxxxxx\0",
        "the cursor was found again"
    );
}

#[test]
fn a_body_crosses_threads() {
    const fn crosses<T: Send + 'static>() {}
    const { crosses::<RequestBody>() };
}

#[test]
fn where_all_bodies_together_hold_too_much_the_next_goes_to_a_file() {
    let memory = Arc::new(BodyMemory::of_pages(1000, 10, 3));
    let mut first = RequestBody::default();
    first.push(&[b'1'; 25], &memory).expect("memory");
    let mut second = RequestBody::default();
    second
        .push(b"ten bytes!", &memory)
        .expect("no page is needed");
    second.push(b"one more", &memory).expect("a file");
    assert!(first.is_in_memory() && !second.is_in_memory());
    first.push(b"last page!", &memory).expect("a file");
    assert!(!first.is_in_memory(), "it may hold more, but there is none");
    assert_eq!(
        read(&mut first, None),
        [&[b'1'; 25][..], b"last page!"].concat()
    );
    assert_eq!(read(&mut second, None), b"ten bytes!one more");
    let mut third = RequestBody::default();
    third.push(&[b'3'; 30], &memory).expect("memory");
    assert!(third.is_in_memory(), "what the first one had is free again");
}
