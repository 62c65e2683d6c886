//! The border between a filter and the host: ABI 1 of docs/wasm-abi.md. Field numbers are those of
//! proto/bridgehost/plugin/v1.

use crate::wire::{find, put_bytes, put_uint, Fields};

/// What a module does.
pub trait Filter: Sized {
    /// Gets the link's config table as JSON; faults are shown to the operator with file, line and column.
    fn open(config: &[u8]) -> Result<Self, Fault>;
    /// Decides about one event.
    fn filter(&mut self, event: Event) -> Verdict;
}

/// What is wrong with a configuration.
#[derive(Debug)]
pub struct Fault {
    /// Path in the link's config table; empty = the table itself.
    pub key: String,
    pub problem: &'static str,
    /// What to write instead.
    pub remedy: &'static str,
}

/// What becomes of an event.
pub enum Verdict {
    /// It goes on unchanged.
    Pass,
    /// It ends here; the reason is shown to the operator.
    Drop(String),
    /// It goes on with another text, without markup, and with further tags.
    Replace { text: String, tags: Vec<&'static str> },
}

/// A view of an encoded event.
#[derive(Clone, Copy)]
pub struct Event<'a>(&'a [u8]);

impl<'a> Event<'a> {
    /// The item that was created (field 21) or updated (22), with the number of the change.
    fn change(&self) -> Option<(u8, &'a [u8])> {
        [21u8, 22].iter().find_map(|&kind| find(self.0, u32::from(kind)).map(|body| (kind, body)))
    }

    /// The item that was created or updated; None for all other changes.
    pub fn item(&self) -> Option<Item<'a>> {
        Some(Item(find(self.change()?.1, 1)?))
    }
}

/// A view of an encoded item.
#[derive(Clone, Copy)]
pub struct Item<'a>(&'a [u8]);

impl<'a> Item<'a> {
    /// The text without markup.
    pub fn text(&self) -> &'a str {
        find(self.0, 10).and_then(|text| find(text, 1)).and_then(|plain| std::str::from_utf8(plain).ok()).unwrap_or("")
    }

    /// The tags without #.
    pub fn tags(&self) -> impl Iterator<Item = &'a str> {
        Fields(self.0).filter(|f| f.0 == 15).filter_map(|f| std::str::from_utf8(f.1).ok())
    }
}

/// The state of a module: its buffers and its filter. A module is called by one thread at a time.
pub struct Module<F> {
    request: Vec<u8>,
    reply: Vec<u8>,
    filter: Option<F>,
}

impl<F: Filter> Module<F> {
    pub const fn new() -> Self {
        Module { request: Vec::new(), reply: Vec::new(), filter: None }
    }

    /// A buffer of at least n bytes for the next request.
    pub fn alloc(&mut self, n: usize) -> *mut u8 {
        if self.request.len() < n {
            self.request.resize(n, 0);
        }
        self.request.as_mut_ptr()
    }

    /// Handles the first n bytes of the buffer; the reply as pointer and length in one number.
    pub fn handle(&mut self, n: usize) -> u64 {
        self.reply.clear();
        let request = std::mem::take(&mut self.request);
        match Fields(&request[..n]).next() {
            Some((1, body)) => self.open(body),
            Some((2, body)) => self.decide(Event(body)),
            _ => {}
        }
        self.request = request;
        match self.reply.len() {
            0 => 0,
            n => (self.reply.as_ptr() as u64) << 32 | n as u64,
        }
    }

    fn open(&mut self, message: &[u8]) {
        let config = find(message, 1).and_then(|c| find(c, 2)).unwrap_or(b"");
        match F::open(config) {
            Ok(filter) => self.filter = Some(filter),
            Err(fault) => {
                let (mut body, mut error) = (vec![], vec![]);
                put_bytes(&mut body, 1, fault.key.as_bytes());
                put_bytes(&mut body, 2, fault.problem.as_bytes());
                put_bytes(&mut body, 3, fault.remedy.as_bytes());
                put_bytes(&mut error, 6, &body);
                put_bytes(&mut self.reply, 7, &error);
            }
        }
    }

    fn decide(&mut self, event: Event) {
        let verdict = match &mut self.filter {
            Some(filter) => filter.filter(event),
            None => return,
        };
        match (verdict, event.change()) {
            (Verdict::Drop(reason), _) => {
                put_uint(&mut self.reply, 1, 1);
                put_bytes(&mut self.reply, 2, reason.as_bytes());
            }
            (Verdict::Replace { text, tags }, Some((kind, _))) => {
                put_bytes(&mut self.reply, 4, &[0x0a, 3, kind, 1, 10]); // clear the text with its spans
                let (mut body, mut item, mut change, mut patch) = (vec![], vec![], vec![], vec![]);
                put_bytes(&mut body, 1, text.as_bytes());
                put_bytes(&mut item, 10, &body);
                for tag in tags {
                    put_bytes(&mut item, 15, tag.as_bytes());
                }
                put_bytes(&mut change, 1, &item);
                put_bytes(&mut patch, u32::from(kind), &change);
                put_bytes(&mut self.reply, 3, &patch);
            }
            _ => {}
        }
    }
}

/// Makes the exports of a module whose filter is the type F.
macro_rules! export {
    ($filter:ty) => {
        #[cfg(target_arch = "wasm32")]
        mod exports {
            use super::*;

            static mut MODULE: crate::abi::Module<$filter> = crate::abi::Module::new();

            fn module() -> &'static mut crate::abi::Module<$filter> {
                // The host calls a module by one thread at a time, and never from within a call.
                unsafe { &mut *std::ptr::addr_of_mut!(MODULE) }
            }

            #[no_mangle]
            pub extern "C" fn bh_abi_1() {}

            #[no_mangle]
            pub extern "C" fn bh_alloc(n: usize) -> *mut u8 {
                module().alloc(n)
            }

            #[no_mangle]
            pub extern "C" fn bh_handle(_buffer: *const u8, n: usize) -> u64 {
                module().handle(n)
            }
        }
    };
}
pub(crate) use export;
