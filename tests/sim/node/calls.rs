//! What clients say: calls of every kind and form, drawn from the seed, each with what must come of it.
//!
//! Nearly every call has parameters that no other has (an address counted up), so that the book can tell whose reply a
//! reply is.

use super::book::{Book, Key};
use crate::weather::{coin, one_in};
use lasso::base::rng::Rng;
use lasso::chain::method::{self, Safety};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The demo chain of the run.
pub const CHAIN_ID: u64 = 8453;
pub const CHAIN_ID_JSON: &str = "\"0x2105\"";

/// What this seed's clients do at all.
#[derive(Clone, Copy, Debug)]
pub struct Menu {
    pub raw: bool,
    pub filters: bool,
    pub batches: bool,
    pub notifications: bool,
    pub odd_ids: bool,
    pub odd_forms: bool,
    pub long_answers: bool,
    pub large_bodies: bool,
    pub refused: bool,
    pub malformed: bool,
    pub unknown: bool,
    pub pins: bool,
    pub repeats: bool,
}

impl Menu {
    pub fn draw(draw: &mut Rng) -> Menu {
        let mut on = || coin(draw);
        Menu {
            raw: on(),
            filters: on(),
            batches: on(),
            notifications: on(),
            odd_ids: on(),
            odd_forms: on(),
            long_answers: on() && on(),
            large_bodies: on() && on(),
            refused: on(),
            malformed: on() && on(),
            unknown: on(),
            pins: on(),
            repeats: on(),
        }
    }

    /// Reads only: what must succeed once the world is healed.
    pub const PLAIN: Menu = Menu {
        raw: false,
        filters: false,
        batches: true,
        notifications: false,
        odd_ids: false,
        odd_forms: false,
        long_answers: false,
        large_bodies: false,
        refused: false,
        malformed: false,
        unknown: false,
        pins: false,
        repeats: false,
    };
}

/// What must become of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// A provider's answer, or an error.
    Answer(Safety),
    /// As `Answer`; the result names a new filter.
    NewFilter,
    /// `eth_chainId`.
    ChainId,
    /// An error with this code.
    Code(i64),
}

#[derive(Clone)]
pub struct Item {
    /// Raw token; `None`: a notification.
    pub id: Option<String>,
    pub key: Key,
    pub expect: Expect,
    pub timeout_ms: u64,
    text: String,
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = self.text.char_indices().nth(300).map_or(self.text.len(), |(at, _)| at);
        write!(f, "{:?} {}", self.expect, &self.text[..end])
    }
}

#[derive(Clone, Debug)]
pub enum PostExpect {
    Single(Item),
    Batch(Vec<Item>),
    /// The whole request is refused with this status and code.
    Refusal(u16, i64),
    /// Not HTTP, or not to be read to its end: any status from 400 on, then the end.
    Hopeless,
}

#[derive(Clone, Debug)]
pub struct Post {
    pub bytes: Vec<u8>,
    pub expect: PostExpect,
    /// Calls, for the limiter.
    pub cost: u64,
}

/// One client's imagination.
pub struct Caller {
    pub draw: Rng,
    menu: Menu,
    book: Rc<Book>,
    /// Over all clients.
    unique: Rc<Cell<u64>>,
    /// Filter ids that this client was given.
    pub filters: Rc<RefCell<Vec<String>>>,
    last: Option<(String, Option<String>)>,
    providers: u64,
    /// The chain's head when the run begins, about.
    head: u64,
}

impl Caller {
    pub fn new(draw: Rng, menu: Menu, book: &Rc<Book>, unique: &Rc<Cell<u64>>, providers: u64, head: u64) -> Caller {
        let (book, unique) = (book.clone(), unique.clone());
        Caller { draw, menu, book, unique, filters: Rc::default(), last: None, providers, head }
    }

    /// The next request.
    pub fn post(&mut self) -> Post {
        if self.menu.malformed && one_in(&mut self.draw, 12) {
            return self.malformed();
        }
        if self.menu.refused && one_in(&mut self.draw, 10) {
            return self.refused_request();
        }
        if self.menu.batches && one_in(&mut self.draw, 4) {
            return self.batch();
        }
        let path = self.path();
        // A pinned eth_chainId is a call like any other.
        let item = self.item(path.contains("provider") || path.starts_with("/rpc/main/p"));
        let body = self.padded(item.text.clone());
        // What is no JSON-RPC request is refused before the limiter sees it.
        let cost = u64::from(item.expect != Expect::Code(-32600));
        self.finish(&path, &body, PostExpect::Single(item), cost)
    }

    fn batch(&mut self) -> Post {
        let count = match self.draw.below(12) {
            0 => 50,
            1 => 20,
            _ => 1 + self.draw.below(8),
        };
        let items: Vec<Item> = (0..count).map(|_| self.item(false)).collect();
        let texts: Vec<&str> = items.iter().map(|i| i.text.as_str()).collect();
        let gap = if self.menu.odd_forms && coin(&mut self.draw) { " ,\n\t" } else { "," };
        let body = format!("[{}]", texts.join(gap));
        let path = "/rpc/main".to_string();
        self.finish(&path, &body, PostExpect::Batch(items), count)
    }

    fn path(&mut self) -> String {
        match self.draw.below(10) {
            0 => "/rpc/8453".into(),
            1 => "/rpc/load-balanced/main".into(),
            2 => "/rpc/profile/default/priority/main".into(),
            3 => "/rpc/profile/public/main".into(),
            4 if self.menu.pins => format!("/rpc/provider/p{}/main", self.draw.below(self.providers)),
            5 if self.menu.pins => format!("/rpc/main/p{}", self.draw.below(self.providers)),
            _ => "/rpc/main".into(),
        }
    }

    fn item(&mut self, pinned: bool) -> Item {
        if self.menu.refused && one_in(&mut self.draw, 8) {
            return self.refused_item();
        }
        let again = self.menu.repeats && one_in(&mut self.draw, 8);
        let last = self.last.take().filter(|_| again);
        let (name, params) = last.unwrap_or_else(|| self.call());
        self.last = Some((name.clone(), params.clone()));
        let normal = match params.as_deref() {
            None => "[]".to_string(),
            Some(p) if p.starts_with(['[', '{']) => p.to_string(),
            Some(p) => format!("[{p}]"),
        };
        let id = self.id();
        let text = self.form(id.as_deref(), &name, params.as_deref());
        let info = method::info(method::lookup(name.as_bytes()));
        let expect = match name.as_str() {
            "eth_chainId" if !pinned => Expect::ChainId,
            "eth_newFilter" | "eth_newBlockFilter" => Expect::NewFilter,
            _ => Expect::Answer(info.safety),
        };
        let received = if method::is_filter_use(method::lookup(name.as_bytes())) { own_filter_id(&normal) } else { normal };
        Item { id, key: (name, received.into_bytes()), expect, timeout_ms: info.timeout_ms, text }
    }

    /// A method and its parameters.
    fn call(&mut self) -> (String, Option<String>) {
        let n = self.unique.replace(self.unique.get() + 1);
        let known_filter = {
            let filters = self.filters.borrow();
            let count = filters.len() as u64;
            (count > 0).then(|| filters[self.draw.below(count) as usize].clone())
        };
        let (name, params) = match self.draw.below(20) {
            0 => ("eth_blockNumber", None),
            1 => ("eth_chainId", Some("[]".into())),
            2 => ("eth_getBlockByNumber", Some(format!("[\"{:#x}\",{}]", self.head - self.draw.below(50), coin(&mut self.draw)))),
            3 | 4 => ("eth_call", Some(format!("[{{\"to\":\"0x{n:040x}\",\"data\":\"0x{n:08x}\"}},\"latest\"]"))),
            5 if self.menu.odd_forms => ("eth_estimateGas", Some(format!("{{\"to\":\"0x{n:040x}\",\"x\":[1,{{}}]}}"))),
            6 if self.menu.odd_forms => ("web3_sha3", Some(format!("\"0x{n:016x}\""))),
            7 | 8 if self.menu.raw => ("eth_sendRawTransaction", Some(format!("[\"0x02{n:032x}\"]"))),
            9 if self.menu.filters => ("eth_newFilter", Some(format!("[{{\"address\":\"0x{n:040x}\"}}]"))),
            10 | 11 if self.menu.filters && known_filter.is_some() => {
                let name = ["eth_getFilterChanges", "eth_getFilterLogs", "eth_uninstallFilter"][self.draw.below(3) as usize];
                (name, known_filter.map(|id| format!("[\"{id}\"]")))
            }
            12 if self.menu.unknown => ("foo_bar", Some(format!("[{n}]"))),
            13 | 15 if self.menu.long_answers => {
                let to = self.head - self.draw.below(30);
                ("eth_getLogs", Some(format!("[{{\"fromBlock\":\"{:#x}\",\"toBlock\":\"{to:#x}\"}}]", to - self.draw.below(250))))
            }
            14 if self.menu.large_bodies => {
                let data = "ab".repeat(1 << self.draw.below(17));
                ("eth_call", Some(format!("[{{\"to\":\"0x{n:040x}\",\"data\":\"0x{data}\"}},\"latest\"]")))
            }
            _ => ("eth_getBalance", Some(format!("[\"0x{n:040x}\",\"latest\"]"))),
        };
        (name.into(), params)
    }

    fn id(&mut self) -> Option<String> {
        if self.menu.notifications && one_in(&mut self.draw, 8) {
            return None;
        }
        if !self.menu.odd_ids || coin(&mut self.draw) {
            return Some(self.draw.below(1000).to_string());
        }
        let long = format!("\"{}\"", "id".repeat(1 + self.draw.below(300) as usize));
        let odd = [
            "null",
            "0",
            "-7",
            "9007199254740993",
            "123456789012345678901234567890",
            "\"\"",
            "\"0\"",
            "\"a.b-c_d:1\"",
            "\"\\u0041\\\"\\\\/\"",
            "\"h\u{e9}llo \u{1f980}\"",
            "\"}],{\\n\"",
            &long,
        ];
        Some(odd[self.draw.below(odd.len() as u64) as usize].to_string())
    }

    /// The call as JSON: canonical, or any other acceptable form.
    fn form(&mut self, id: Option<&str>, name: &str, params: Option<&str>) -> String {
        let mut parts = vec!["\"jsonrpc\":\"2.0\"".to_string()];
        parts.extend(id.map(|id| format!("\"id\":{id}")));
        parts.push(format!("\"method\":\"{name}\""));
        parts.extend(params.map(|params| format!("\"params\":{params}")));
        if self.menu.odd_forms && coin(&mut self.draw) {
            match self.draw.below(5) {
                0 => parts.reverse(),
                1 => drop(parts.remove(0)),
                2 => parts.insert(1, "\"extra\":{\"id\":[1,\"}\"],\"method\":null}".into()),
                3 => parts.iter_mut().for_each(|part| *part = format!("\n  {} ", part.replacen(':', " :\t", 1))),
                _ if params.is_none() => parts.push("\"params\":null".into()),
                _ => parts.swap(0, 1),
            }
        }
        format!("{{{}}}", parts.join(","))
    }

    fn padded(&mut self, body: String) -> String {
        if self.menu.odd_forms && one_in(&mut self.draw, 6) { format!(" \r\n\t{body}\n") } else { body }
    }

    /// An item that is refused by itself.
    fn refused_item(&mut self) -> Item {
        let id = "77".to_string();
        let (text, code) = match self.draw.below(9) {
            0 => (r#"{"jsonrpc":"2.0","id":77,"method":"eth_accounts","params":[]}"#, -32601),
            1 => (r#"{"jsonrpc":"2.0","id":77,"method":"eth_signTransaction","params":[]}"#, -32601),
            2 => (r#"{"jsonrpc":"2.0","id":77,"method":"personal_unlockAccount","params":[]}"#, -32601),
            3 => (r#"{"jsonrpc":"2.0","id":77,"method":"eth_subscribe","params":["newHeads"]}"#, -32601),
            4 => (r#"{"jsonrpc":"2.0","id":77,"params":[]}"#, -32600),
            5 => (r#"{"jsonrpc":"1.0","id":77,"method":"eth_call","params":[]}"#, -32600),
            6 => (r#"{"jsonrpc":"2.0","id":77,"method":"eth_call","method":"eth_accounts","params":[]}"#, -32600),
            7 => (r#"{"jsonrpc":"2.0","id":77,"method":"eth_call","Method":"eth_accounts","params":[]}"#, -32600),
            _ => (r#"{"jsonrpc":"2.0","id":77,"method":"eth_getFilterChanges","params":["0xfa11"]}"#, -32000),
        };
        let key = (String::new(), Vec::new());
        Item { id: Some(id), key, expect: Expect::Code(code), timeout_ms: 0, text: text.into() }
    }

    /// A request that is refused as a whole.
    fn refused_request(&mut self) -> Post {
        let good = r#"{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}"#;
        let (path, body, status, code) = match self.draw.below(7) {
            0 => ("/rpc/nowhere", good, 400, -32602),
            1 => ("/rpc/profile/nobody/main", good, 404, -32000),
            2 => ("/rpc/main", "[]", 200, -32600),
            3 => ("/rpc/main", r#"{"jsonrpc":"2.0","id":{},"method":"eth_call","params":[]}"#, 200, -32600),
            4 => ("/rpc/main", "{\"jsonrpc\":\"2.0\",\"id\":1,", 400, -32700),
            5 => ("/rpc/main", "\u{feff}{}", 400, -32700),
            _ => ("/rpc/provider/nobody/main", good, 400, -32602),
        };
        self.finish(path, body, PostExpect::Refusal(status, code), 0)
    }

    /// Bytes that no server should go on from.
    fn malformed(&mut self) -> Post {
        let bytes = match self.draw.below(6) {
            0 => b"POST /rpc/main HTTP/1.1\r\nhost: a\r\nhost: b\r\ncontent-length: 2\r\n\r\n{}".to_vec(),
            1 => b"POST /rpc/main HTTP/1.1\r\nhost: a\r\ncontent-length: 9000000\r\n\r\n{".to_vec(),
            2 => {
                b"POST /rpc/main HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_vec()
            }
            3 => b"POST /rpc/main HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
            4 => [b"POST /rpc/main HTTP/1.1\r\nhost: a\r\nx: ".to_vec(), vec![b'y'; 20_000], b"\r\n\r\n".to_vec()].concat(),
            _ => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is TLS\r\n\r\n".to_vec(),
        };
        Post { bytes, expect: PostExpect::Hopeless, cost: 0 }
    }

    fn finish(&mut self, path: &str, body: &str, expect: PostExpect, cost: u64) -> Post {
        let head = format!("POST {path} HTTP/1.1\r\nhost: lasso\r\ncontent-type: application/json\r\n");
        let bytes = if one_in(&mut self.draw, 6) && !body.is_empty() {
            let mut out = format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes();
            let step = 1 + self.draw.below(body.len() as u64) as usize;
            for chunk in body.as_bytes().chunks(step) {
                out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                out.extend_from_slice(chunk);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"0\r\n\r\n");
            out
        } else {
            format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
        };
        let items = match &expect {
            PostExpect::Single(item) => std::slice::from_ref(item),
            PostExpect::Batch(items) => items,
            PostExpect::Refusal(..) | PostExpect::Hopeless => &[],
        };
        for item in items {
            match item.expect {
                Expect::Answer(safety) => self.book.ask(&item.key, safety),
                Expect::NewFilter => self.book.ask(&item.key, Safety::Filter),
                Expect::ChainId | Expect::Code(_) => {}
            }
        }
        Post { bytes, expect, cost }
    }
}

/// Filter parameters as the provider receives them: `0x` + 8 digits of ours + its own becomes `0x` + its own.
fn own_filter_id(params: &str) -> String {
    match params.strip_prefix("[\"0x") {
        Some(rest) if rest.len() > 8 => format!("[\"0x{}", &rest[8..]),
        _ => params.to_string(),
    }
}

/// The provider's own result behind a new filter's id.
pub fn own_filter_result(result: &str) -> Option<String> {
    let digits = result.strip_prefix("\"0x")?.get(8..)?;
    Some(format!("\"0x{digits}"))
}
