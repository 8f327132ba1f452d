//! YAML (and so JSON) as trees of values with their places.
//!
//! Scalars are read by the core schema of YAML 1.2 (section 10.3). What older readers, such as the one behind `kubectl`, read
//! differently is refused: unquoted `yes`, `no`, `on`, `off`, and numbers with leading zeros.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, StructureStyle, Tag, options};

use super::{
    problem::{Fault, Findings},
    scalar,
    suggest::quoted,
    syntax::{self, too_deep},
    tree::{Entry, Node, Span, Value},
};

/// How deep collections may lie in each other; the model itself needs 8.
pub(super) const DEPTH: usize = 64;

/// What the values of one file may take, with every alias written out, in the units of [`Node::cost`]: about a million values.
const BUDGET: usize = 64 << 20;

/// Reads the documents of a file; empty ones are left out. What is wrong goes to `findings`, and a document that cannot be
/// read at all is left out, too.
pub(super) fn read(findings: &mut Findings) -> Vec<Node> {
    let source = Arc::clone(findings.source());
    let options = options! {
        emit_unresolved_aliases: true,
        emit_comments: false,
        flow_nesting_limit: DEPTH,
        block_nesting_limit: DEPTH,
    };
    let mut parser = Parser::new_from_str_with_options(source.text(), options);
    let mut builder =
        Builder { findings, stack: Vec::new(), anchors: HashMap::new(), left: BUDGET, roots: Vec::new() };
    while let Some(event) = parser.next_event() {
        let step = match event {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => builder.event(event, bytes(&span)),
            Err(wrong) => Err(Stop::Document(syntax::place(&wrong), syntax::fault(&wrong))),
        };
        match step {
            Ok(()) => {}
            Err(Stop::Document(span, fault)) => {
                builder.findings.add(span, || fault);
                builder.abandon();
                if !matches!(parser.proceed_next_document(), Ok(true)) {
                    break;
                }
            }
            Err(Stop::File(span, fault)) => {
                builder.findings.add(span, || fault);
                builder.abandon();
                break;
            }
        }
    }
    builder.roots
}

/// Why reading cannot go on.
enum Stop {
    Document(Span, Fault),
    File(Span, Fault),
}

/// A collection that is not closed yet.
struct Frame {
    span: Span,
    flow: bool,
    anchor: usize,
    collected: Collected,
}

enum Collected {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<Key> },
}

/// A key that waits for its value. Without text it was no key; then its entry is kept as a broken one without a name.
struct Key {
    text: Option<String>,
    span: Span,
}

struct Builder<'f> {
    findings: &'f mut Findings,
    stack: Vec<Frame>,
    /// The nodes that aliases can refer to, with their cost.
    anchors: HashMap<usize, (Node, usize)>,
    left: usize,
    roots: Vec<Node>,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(..) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(&text, style, tag.as_deref(), &span);
                let node = Node { value, span };
                self.spend(node.cost(), &node.span)?;
                self.remember(anchor, &node)?;
                self.place(node, Some((text, style)))?;
            }
            Event::Alias(id) => self.alias(id, span)?,
            Event::UnresolvedAlias(name) => {
                self.findings.add(span.clone(), || {
                    Fault::new(format!("there is no anchor {} before this", quoted(&name)))
                        .label("unknown anchor")
                        .help(format!("write &{name} before the value that is meant, or quote the text"))
                });
                self.place(Node { value: Value::Broken, span }, None)?;
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.open(Collected::List(Vec::new()), style, anchor, tag.as_deref(), span)?;
            }
            Event::MappingStart(style, anchor, tag) => {
                let collected = Collected::Map { entries: Vec::new(), key: None };
                self.open(collected, style, anchor, tag.as_deref(), span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span.end)?,
            _ => {}
        }
        Ok(())
    }

    fn open(
        &mut self,
        collected: Collected,
        style: StructureStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Stop> {
        self.refuse_tag(tag.filter(|tag| !matches!(tag.core_suffix(), Some("map" | "seq"))), &span);
        if self.stack.len() >= DEPTH {
            return Err(Stop::Document(span, too_deep()));
        }
        self.stack.push(Frame { span, flow: style == StructureStyle::Flow, anchor, collected });
        Ok(())
    }

    fn close(&mut self, end: usize) -> Result<(), Stop> {
        let Some(Frame { span, flow, anchor, collected }) = self.stack.pop() else { return Ok(()) };
        let (value, first) = match collected {
            Collected::List(items) => {
                let first = items.first().map(|item| item.span.clone());
                (Value::List(items), first)
            }
            Collected::Map { entries, .. } => {
                self.find_repeated(&entries);
                let first = entries.first().map(|entry| entry.key_span.clone());
                (Value::Map(entries), first)
            }
        };
        let text = self.findings.source().text();
        let whole = span.start..end;
        let span = match text.get(whole.clone()) {
            Some(written) if flow && !written.contains('\n') => whole,
            _ if flow => span,
            _ => first.unwrap_or(span),
        };
        let node = Node { value, span };
        self.spend(64, &node.span)?;
        self.remember(anchor, &node)?;
        self.place(node, None)
    }

    /// Puts a finished node where it belongs. `written` is the text and style of a scalar, which may be a key.
    fn place(&mut self, mut node: Node, written: Option<(Cow<'_, str>, ScalarStyle)>) -> Result<(), Stop> {
        match self.stack.last_mut().map(|frame| &mut frame.collected) {
            None => {
                if !matches!(node.value, Value::Null) {
                    self.roots.push(node);
                }
            }
            Some(Collected::List(items)) => items.push(node),
            Some(Collected::Map { entries, key }) => match key.take() {
                Some(Key { text, span }) => {
                    if node.span.is_empty() {
                        node.span = span.clone();
                    }
                    let node = if text.is_some() { node } else { Node { value: Value::Broken, ..node } };
                    entries.push(Entry { key: text.unwrap_or_default(), key_span: span, node });
                }
                None => {
                    let text = match written {
                        Some((text, ScalarStyle::Plain)) if text == "<<" => {
                            self.findings.add(node.span.clone(), merge_key);
                            None
                        }
                        Some((text, _)) => Some(text.into_owned()),
                        None => {
                            self.findings.add(node.span.clone(), || {
                                Fault::new("a field's name is plain text")
                                    .label("not a name")
                                    .help("put it in quotes")
                            });
                            None
                        }
                    };
                    *key = Some(Key { text, span: node.span });
                }
            },
        }
        Ok(())
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Stop> {
        let Some((node, cost)) = self.anchors.get(&id) else {
            self.findings.add(span.clone(), || {
                Fault::new("an alias cannot lie in what it repeats")
                    .label("refers to itself")
                    .help("write the value out")
            });
            return self.place(Node { value: Value::Broken, span }, None);
        };
        if self.stack.len() + node.depth() > DEPTH {
            return Err(Stop::Document(span, too_deep()));
        }
        if *cost > self.left {
            return Err(Stop::File(span, too_much()));
        }
        self.left -= cost;
        let node = node.clone();
        self.place(node, None)
    }

    fn remember(&mut self, anchor: usize, node: &Node) -> Result<(), Stop> {
        if anchor > 0 {
            let cost = node.cost();
            self.spend(cost, &node.span)?;
            self.anchors.insert(anchor, (node.clone(), cost));
        }
        Ok(())
    }

    fn spend(&mut self, cost: usize, span: &Span) -> Result<(), Stop> {
        self.left = self.left.checked_sub(cost).ok_or_else(|| Stop::File(span.clone(), too_much()))?;
        Ok(())
    }

    fn abandon(&mut self) {
        self.stack.clear();
        self.anchors.clear();
    }

    fn find_repeated(&mut self, entries: &[Entry]) {
        let mut seen = HashMap::with_capacity(entries.len());
        for Entry { key, key_span, .. } in entries.iter().filter(|entry| !entry.is_nameless()) {
            if let Some(first) = seen.insert(key.as_str(), key_span) {
                let source = Arc::clone(self.findings.source());
                self.findings.add(key_span.clone(), || {
                    Fault::new(format!("field {} is written twice", quoted(key)))
                        .label("again here")
                        .help(format!("it is already at {}; keep one", source.position(first.start)))
                });
            }
        }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, span: &Span) {
        if let Some(tag) = tag {
            self.findings.add(span.clone(), || {
                Fault::new(format!("the tag {} means nothing here", quoted(&tag.original())))
                    .label("tagged value")
                    .help("leave the tag out")
            });
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: &Span) -> Value {
        match tag.map(|tag| tag.core_suffix()) {
            Some(Some("str")) => return Value::Text(text.to_owned()),
            Some(Some("null" | "bool" | "int" | "float")) | None => {}
            Some(_) => self.refuse_tag(tag, span),
        }
        if style != ScalarStyle::Plain {
            return Value::Text(text.to_owned());
        }
        match scalar::plain(text) {
            Ok(value) => value,
            Err(fault) => {
                // A key is text whatever it looks like.
                let is_key = matches!(
                    self.stack.last().map(|frame| &frame.collected),
                    Some(Collected::Map { key: None, .. })
                );
                if !is_key {
                    self.findings.add(span.clone(), || fault);
                }
                Value::Broken
            }
        }
    }
}

fn merge_key() -> Fault {
    Fault::new("\"<<\" does not merge fields here")
        .label("a merge key of YAML 1.1")
        .help("write the fields out, or repeat a whole value with an alias")
}

fn too_much() -> Fault {
    Fault::new("the file has too many values")
        .label("the limit is reached here")
        .help("aliases count as often as they are used; split the file")
}

fn bytes(span: &granit_parser::Span) -> Span {
    span.byte_range().unwrap_or(0..0)
}
