//! The ssh door: the only room that knows russh.

mod detach;
mod lexer;
mod picker;
