//! From a template's source to a syntax tree with Python's meaning.
//!
//! The engine parses Jinja well, but its operators are its own and cannot be replaced or metered. So the tree is rebuilt once
//! between its parser and its code generator: every operator, index, slice and method call becomes a call of a function of
//! `library`, under a name that no template can write. This file owns that rebuilding and the checks that keep the parser's and
//! the generator's recursion shallow; what the functions do is in `library` and `python`.

use minijinja::Value;
use minijinja::machinery::ast::{self, BinOpKind, CallArg, CompareOpKind, Expr, Spanned, Stmt};
use minijinja::machinery::{Span, Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;

use crate::error::{Error, Result};

/// The longest template that is accepted, in bytes.
const SOURCE_LIMIT: usize = 256 << 10;

/// The most tokens in one tag that can make its tree deeper, and the most `elif` in one `if`: the engine recurses once for each.
const CHAIN_LIMIT: usize = 300;

/// Methods of dictionaries: `x.items` without a call is the method, even where `x` has a key of that name.
pub(super) const DICT_METHODS: [&str; 11] =
    ["clear", "copy", "fromkeys", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values"];

/// The whitespace rules of Hugging Face's environment.
fn syntax() -> Result<SyntaxConfig> {
    let mut builder = SyntaxConfig::builder();
    builder.trim_blocks(true).lstrip_blocks(true);
    builder.build().map_err(|error| Error::Failed(format!("chat template syntax: {error}")))
}

/// The error of a template that cannot be compiled.
fn malformed(what: impl std::fmt::Display) -> Error {
    Error::Malformed(format!("chat template: {what}"))
}

fn unsupported(what: &str) -> Error {
    Error::Unsupported(format!("chat template: {what} is not available to chat templates"))
}

/// Checks a template's size and shape and puts what the engine lacks into words that it knows: line ends become `\n`, and
/// `generation` blocks, which only mark text for training, become `with` blocks of the same scope.
pub(super) fn prepare(source: &str) -> Result<String> {
    if source.len() > SOURCE_LIMIT {
        return Err(malformed(format_args!(
            "{} bytes are more than the limit of {SOURCE_LIMIT}",
            source.len()
        )));
    }
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut replacements = Vec::new();
    let mut after_start = false;
    let mut chain = 0_usize;
    let mut elifs = vec![0_usize];
    for token in tokenize(&source, false, syntax()?) {
        let (token, span) = token.map_err(malformed)?;
        let keyword = if std::mem::take(&mut after_start) { &token } else { &Token::Comma };
        match keyword {
            Token::Ident("generation") => replacements.push((span, "with")),
            Token::Ident("endgeneration") => replacements.push((span, "endwith")),
            Token::Ident("if") => elifs.push(0),
            Token::Ident("endif") => drop(elifs.pop()),
            Token::Ident("elif") => {
                let count = elifs.last_mut().ok_or_else(|| malformed("elif without if"))?;
                *count += 1;
                if *count > CHAIN_LIMIT {
                    return Err(malformed(format_args!("more than {CHAIN_LIMIT} elif in one if")));
                }
            }
            _ => {}
        }
        match token {
            Token::BlockStart | Token::VariableStart => {
                after_start = matches!(token, Token::BlockStart);
                chain = 0;
            }
            // What separates siblings or only carries a value does not nest.
            Token::TemplateData(_) | Token::Comma | Token::Colon | Token::Str(_) | Token::String(_) => {}
            Token::Ident("not" | "and" | "or" | "if" | "else" | "is" | "in") => chain += 1,
            Token::Ident(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_) => {}
            Token::BlockEnd | Token::VariableEnd => {}
            Token::BracketClose | Token::ParenClose | Token::BraceClose => {}
            _ => chain += 1,
        }
        if chain > CHAIN_LIMIT {
            return Err(malformed(format_args!("more than {CHAIN_LIMIT} operators in one tag")));
        }
    }
    let mut prepared = String::with_capacity(source.len());
    let mut done = 0;
    for (span, word) in replacements {
        let (start, end) = (span.start_offset as usize, span.end_offset as usize);
        prepared.push_str(source.get(done..start).unwrap_or(""));
        prepared.push_str(word);
        done = end;
    }
    prepared.push_str(source.get(done..).unwrap_or(""));
    Ok(prepared)
}

/// Parses prepared source and rebuilds its tree.
pub(super) fn compile(prepared: &str) -> Result<Stmt<'_>> {
    let tree = parse(prepared, "chat template", syntax()?).map_err(malformed)?;
    stmt(&tree)
}

fn body<'a>(stmts: &[Stmt<'a>]) -> Result<Vec<Stmt<'a>>> {
    stmts.iter().map(stmt).collect()
}

fn stmt<'a>(node: &Stmt<'a>) -> Result<Stmt<'a>> {
    Ok(match node {
        Stmt::Template(s) => {
            Stmt::Template(Spanned::new(ast::Template { children: body(&s.children)? }, s.span()))
        }
        Stmt::EmitExpr(s) => Stmt::EmitExpr(Spanned::new(ast::EmitExpr { expr: expr(&s.expr)? }, s.span())),
        // Emitted as a value, so that it passes the formatter and its meter.
        Stmt::EmitRaw(s) => {
            Stmt::EmitExpr(Spanned::new(ast::EmitExpr { expr: constant(s.raw, s.span()) }, s.span()))
        }
        Stmt::ForLoop(s) => Stmt::ForLoop(Spanned::new(
            ast::ForLoop {
                target: target(&s.target)?,
                iter: call(" for", [expr(&s.iter)?], s.iter.span()),
                filter_expr: s.filter_expr.as_ref().map(expr).transpose()?,
                recursive: s.recursive,
                body: body(&s.body)?,
                else_body: body(&s.else_body)?,
            },
            s.span(),
        )),
        Stmt::IfCond(s) => Stmt::IfCond(Spanned::new(
            ast::IfCond {
                expr: expr(&s.expr)?,
                true_body: body(&s.true_body)?,
                false_body: body(&s.false_body)?,
            },
            s.span(),
        )),
        Stmt::WithBlock(s) => {
            let mut assignments = Vec::with_capacity(s.assignments.len());
            for (name, value) in &s.assignments {
                assignments.push((target(name)?, call(" set", [expr(value)?], value.span())));
            }
            Stmt::WithBlock(Spanned::new(ast::WithBlock { assignments, body: body(&s.body)? }, s.span()))
        }
        Stmt::Set(s) => {
            let store = if matches!(s.target, Expr::GetAttr(_)) { " set attribute" } else { " set" };
            let value = call(store, [expr(&s.expr)?], s.expr.span());
            Stmt::Set(Spanned::new(ast::Set { target: target(&s.target)?, expr: value }, s.span()))
        }
        Stmt::SetBlock(s) => Stmt::SetBlock(Spanned::new(
            ast::SetBlock {
                target: target(&s.target)?,
                filter: s.filter.as_ref().map(expr).transpose()?,
                body: body(&s.body)?,
            },
            s.span(),
        )),
        Stmt::FilterBlock(s) => Stmt::FilterBlock(Spanned::new(
            ast::FilterBlock { filter: expr(&s.filter)?, body: body(&s.body)? },
            s.span(),
        )),
        Stmt::Macro(s) => Stmt::Macro(macro_declaration(s)?),
        Stmt::CallBlock(s) => {
            let call = Spanned::new(
                ast::Call { expr: expr(&s.call.expr)?, args: arguments(&s.call.args)? },
                s.call.span(),
            );
            Stmt::CallBlock(Spanned::new(
                ast::CallBlock { call, macro_decl: macro_declaration(&s.macro_decl)? },
                s.span(),
            ))
        }
        Stmt::Continue(s) => Stmt::Continue(Spanned::new(ast::Continue, s.span())),
        Stmt::Break(s) => Stmt::Break(Spanned::new(ast::Break, s.span())),
        Stmt::AutoEscape(_) => return Err(unsupported("autoescape")),
        Stmt::Do(_) => return Err(unsupported("do")),
        // With no other template to replace it, a block is what stands in it.
        Stmt::Block(s) => Stmt::WithBlock(Spanned::new(
            ast::WithBlock { assignments: Vec::new(), body: body(&s.body)? },
            s.span(),
        )),
        Stmt::Extends(_) | Stmt::Include(_) | Stmt::Import(_) | Stmt::FromImport(_) => {
            return Err(unsupported("another template"));
        }
    })
}

fn macro_declaration<'a>(node: &Spanned<ast::Macro<'a>>) -> Result<Spanned<ast::Macro<'a>>> {
    let args = node.args.iter().map(target).collect::<Result<_>>()?;
    let defaults = node.defaults.iter().map(expr).collect::<Result<_>>()?;
    Ok(Spanned::new(ast::Macro { name: node.name, args, defaults, body: body(&node.body)? }, node.span()))
}

/// What is assigned to: names, tuples of them, attributes of a namespace.
fn target<'a>(node: &Expr<'a>) -> Result<Expr<'a>> {
    Ok(match node {
        Expr::Var(e) => Expr::Var(Spanned::new(ast::Var { id: e.id }, e.span())),
        Expr::List(e) => {
            let items = e.items.iter().map(target).collect::<Result<_>>()?;
            Expr::List(Spanned::new(ast::List { items }, e.span()))
        }
        Expr::Tuple(e) => {
            let items = e.items.iter().map(target).collect::<Result<_>>()?;
            Expr::Tuple(Spanned::new(ast::Tuple { items }, e.span()))
        }
        Expr::GetAttr(e) if e.name.starts_with('_') => {
            return Err(malformed("underscore-prefixed attributes cannot be stored on a namespace"));
        }
        Expr::GetAttr(e) => {
            Expr::GetAttr(Spanned::new(ast::GetAttr { expr: target(&e.expr)?, name: e.name }, e.span()))
        }
        _ => return Err(malformed("cannot assign to this expression")),
    })
}

fn expr<'a>(node: &Expr<'a>) -> Result<Expr<'a>> {
    let optional = |node: &Option<Expr<'a>>, span| node.as_ref().map_or_else(|| Ok(constant((), span)), expr);
    Ok(match node {
        Expr::Var(e) => Expr::Var(Spanned::new(ast::Var { id: e.id }, e.span())),
        Expr::Const(e) => constant(e.value.clone(), e.span()),
        Expr::Slice(e) => {
            let span = e.span();
            let bounds = [
                expr(&e.expr)?,
                optional(&e.start, span)?,
                optional(&e.stop, span)?,
                optional(&e.step, span)?,
            ];
            call(" slice", bounds, span)
        }
        Expr::UnaryOp(e) => {
            let negates = matches!(e.op, ast::UnaryOpKind::Neg);
            let op = if negates { ast::UnaryOpKind::Neg } else { ast::UnaryOpKind::Not };
            Expr::UnaryOp(Spanned::new(ast::UnaryOp { op, expr: expr(&e.expr)? }, e.span()))
        }
        Expr::BinOp(e) => {
            let (left, right) = (expr(&e.left)?, expr(&e.right)?);
            match operator(e.op) {
                Some(name) => call(name, [left, right], e.span()),
                None => Expr::BinOp(Spanned::new(ast::BinOp { op: e.op, left, right }, e.span())),
            }
        }
        Expr::Compare(e) => {
            let mut operands = vec![expr(&e.expr)?];
            for link in &e.ops {
                operands.push(constant(comparison(link.op), e.span()));
                operands.push(expr(&link.expr)?);
            }
            call(" compare", operands, e.span())
        }
        Expr::IfExpr(e) => Expr::IfExpr(Spanned::new(
            ast::IfExpr {
                test_expr: expr(&e.test_expr)?,
                true_expr: expr(&e.true_expr)?,
                false_expr: e.false_expr.as_ref().map(expr).transpose()?,
            },
            e.span(),
        )),
        Expr::Filter(e) => {
            // Charged for its length before the filter works on it.
            let input = match &e.expr {
                Some(input) => Some(call(" charge", [expr(input)?], input.span())),
                None => None,
            };
            Expr::Filter(Spanned::new(
                ast::Filter { name: e.name, expr: input, args: arguments(&e.args)? },
                e.span(),
            ))
        }
        Expr::Test(e) => Expr::Test(Spanned::new(
            ast::Test { name: e.name, expr: expr(&e.expr)?, args: arguments(&e.args)? },
            e.span(),
        )),
        Expr::GetAttr(e) if DICT_METHODS.contains(&e.name) => {
            call(" attribute", [expr(&e.expr)?, constant(e.name, e.span())], e.span())
        }
        Expr::GetAttr(e) => {
            Expr::GetAttr(Spanned::new(ast::GetAttr { expr: expr(&e.expr)?, name: e.name }, e.span()))
        }
        Expr::GetItem(e) => call(" item", [expr(&e.expr)?, expr(&e.subscript_expr)?], e.span()),
        Expr::Call(e) => match &e.expr {
            Expr::GetAttr(method) => {
                let mut args = vec![
                    CallArg::Pos(expr(&method.expr)?),
                    CallArg::Pos(constant(method.name, method.span())),
                ];
                args.extend(arguments(&e.args)?);
                call_with(" method", args, e.span())
            }
            callee => Expr::Call(Spanned::new(
                ast::Call { expr: expr(callee)?, args: arguments(&e.args)? },
                e.span(),
            )),
        },
        Expr::List(e) => {
            let items = e.items.iter().map(expr).collect::<Result<_>>()?;
            call(" set", [Expr::List(Spanned::new(ast::List { items }, e.span()))], e.span())
        }
        Expr::Tuple(e) => {
            let items = e.items.iter().map(expr).collect::<Result<_>>()?;
            call(" set", [Expr::Tuple(Spanned::new(ast::Tuple { items }, e.span()))], e.span())
        }
        Expr::Map(e) => {
            let keys = e.keys.iter().map(expr).collect::<Result<_>>()?;
            let values = e.values.iter().map(expr).collect::<Result<_>>()?;
            call(" set", [Expr::Map(Spanned::new(ast::Map { keys, values }, e.span()))], e.span())
        }
    })
}

fn arguments<'a>(nodes: &[CallArg<'a>]) -> Result<Vec<CallArg<'a>>> {
    let one = |node: &CallArg<'a>| {
        Ok(match node {
            CallArg::Pos(e) => CallArg::Pos(expr(e)?),
            CallArg::Kwarg(name, e) => CallArg::Kwarg(name, expr(e)?),
            CallArg::PosSplat(e) => CallArg::PosSplat(expr(e)?),
            CallArg::KwargSplat(e) => CallArg::KwargSplat(expr(e)?),
        })
    };
    nodes.iter().map(one).collect()
}

/// The function of a binary operator; none for those that need not evaluate both sides.
fn operator(op: BinOpKind) -> Option<&'static str> {
    Some(match op {
        BinOpKind::ScAnd | BinOpKind::ScOr => return None,
        BinOpKind::Eq => "==",
        BinOpKind::Ne => "!=",
        BinOpKind::Lt => "<",
        BinOpKind::Lte => "<=",
        BinOpKind::Gt => ">",
        BinOpKind::Gte => ">=",
        BinOpKind::Add => "+",
        BinOpKind::Sub => "-",
        BinOpKind::Mul => "*",
        BinOpKind::Div => "/",
        BinOpKind::FloorDiv => "//",
        BinOpKind::Rem => "%",
        BinOpKind::Pow => "**",
        BinOpKind::Concat => "~",
        BinOpKind::In => " in",
    })
}

fn comparison(op: CompareOpKind) -> &'static str {
    match op {
        CompareOpKind::Eq => "==",
        CompareOpKind::Ne => "!=",
        CompareOpKind::Lt => "<",
        CompareOpKind::Lte => "<=",
        CompareOpKind::Gt => ">",
        CompareOpKind::Gte => ">=",
        CompareOpKind::In => "in",
        CompareOpKind::NotIn => "not in",
    }
}

fn constant<'a>(value: impl Into<Value>, span: Span) -> Expr<'a> {
    Expr::Const(Spanned::new(ast::Const { value: value.into() }, span))
}

/// A call of one of our functions. Its name starts with a space or is no identifier, so that no variable can hide it.
fn call<'a>(function: &'static str, args: impl IntoIterator<Item = Expr<'a>>, span: Span) -> Expr<'a> {
    call_with(function, args.into_iter().map(CallArg::Pos).collect(), span)
}

fn call_with<'a>(function: &'static str, args: Vec<CallArg<'a>>, span: Span) -> Expr<'a> {
    Expr::Call(Spanned::new(
        ast::Call { expr: Expr::Var(Spanned::new(ast::Var { id: function }, span)), args },
        span,
    ))
}
