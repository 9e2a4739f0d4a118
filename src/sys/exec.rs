//! Becoming another program; does not know which.

use std::ffi::{CStr, CString};
use std::io;

/// Replaces this process. `program` is a path without lookup; the environment is exactly `environment`. Returns only
/// when that failed.
pub(crate) fn exec(program: &CStr, argv: &[CString], environment: &[CString]) -> io::Error {
    let argv = pointers(argv);
    let environment = pointers(environment);
    // SAFETY: both arrays end with a null pointer, and all strings outlive the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}
