//! What callers give: texts, arrays, places for results, and options.

use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;
use std::path::PathBuf;

use crate::status::{Failed, LacunaStatus, Result};

/// A text in UTF-8, which the caller keeps alive during the call. It needs no NUL at its end.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct LacunaText {
    /// Its first byte. May be NULL if the length is 0.
    pub data: *const c_char,
    /// Its length in bytes.
    pub length: usize,
}

/// A string that ends with NUL, as a text. NULL gives a text that calls refuse.
///
/// Threads: any, at any time.
///
/// # Safety
/// `string` is NULL, or ends with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_text(string: *const c_char) -> LacunaText {
    match string.is_null() {
        true => LacunaText { data: string, length: usize::MAX },
        // SAFETY: it ends with NUL, says the caller.
        false => LacunaText { data: string, length: unsafe { CStr::from_ptr(string) }.count_bytes() },
    }
}

/// A text of the caller. `name` says which one in messages.
///
/// # Safety
/// It points to as many bytes as it says, which live for `'a`.
pub(crate) unsafe fn text<'a>(name: impl Fn() -> String, text: &LacunaText) -> Result<&'a str> {
    let LacunaText { data, length } = *text;
    if length == 0 {
        return Ok("");
    }
    if data.is_null() {
        return Err(Failed::input(&name(), "NULL", "a text"));
    }
    if isize::try_from(length).is_err() {
        return Err(Failed::input(&name(), &format!("a length of {length}"), "the length of a text in bytes"));
    }
    // SAFETY: so many bytes are there, says the caller.
    let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), length) };
    std::str::from_utf8(bytes).map_err(|error| {
        let found = format!("bytes that are not UTF-8 at byte {}", error.valid_up_to());
        Failed::input(&name(), &found, "UTF-8")
    })
}

/// Texts of the caller.
///
/// # Safety
/// `texts` points to `count` texts, each as [`text`] needs it.
pub(crate) unsafe fn texts<'a>(name: &str, all: *const LacunaText, count: usize) -> Result<Vec<&'a str>> {
    // SAFETY: as the caller says.
    let all = unsafe { array(name, all, count) }?;
    // SAFETY: likewise.
    let text = |(i, text): (usize, &LacunaText)| unsafe { self::text(|| format!("{name}[{i}]"), text) };
    all.iter().enumerate().map(text).collect()
}

/// A string that ends with NUL; none for NULL.
///
/// # Safety
/// It is NULL, or ends with NUL and lives for `'a`.
pub(crate) unsafe fn string<'a>(name: &str, string: *const c_char) -> Result<Option<&'a str>> {
    if string.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller says.
    let bytes = unsafe { CStr::from_ptr(string) };
    let text = bytes.to_str().map_err(|error| {
        Failed::input(name, &format!("bytes that are not UTF-8 at byte {}", error.valid_up_to()), "UTF-8")
    })?;
    Ok(Some(text))
}

/// A path, in the bytes of the system. It may not be empty.
///
/// # Safety
/// It is NULL, or ends with NUL.
pub(crate) unsafe fn path(name: &str, path: *const c_char) -> Result<PathBuf> {
    if path.is_null() {
        return Err(Failed::input(name, "NULL", "a path"));
    }
    // SAFETY: as the caller says.
    let bytes = unsafe { CStr::from_ptr(path) };
    if bytes.is_empty() {
        return Err(Failed::input(name, "an empty path", "that of a file or a directory"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        Ok(std::ffi::OsStr::from_bytes(bytes.to_bytes()).into())
    }
    #[cfg(not(unix))]
    {
        let text = bytes.to_str().map_err(|_| Failed::input(name, "bytes that are not UTF-8", "UTF-8"))?;
        Ok(text.into())
    }
}

/// An array of the caller. It may be NULL if it has no elements.
///
/// # Safety
/// It has `count` elements, which live for `'a`.
pub(crate) unsafe fn array<'a, T>(name: &str, data: *const T, count: usize) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    check(name, data, count)?;
    // SAFETY: it is aligned, not NULL, and as long as the caller says.
    Ok(unsafe { std::slice::from_raw_parts(data, count) })
}

/// A place for exactly `count` results, of which the caller has room for `capacity`.
///
/// # Safety
/// It has room for `capacity` elements that nothing else uses, and lives for `'a`.
pub(crate) unsafe fn room<'a, T>(
    name: &str,
    data: *mut T,
    capacity: usize,
    count: usize,
) -> Result<&'a mut [MaybeUninit<T>]> {
    if capacity < count {
        return Err(Failed::input(name, &format!("room for {capacity} values"), &format!("at least {count}")));
    }
    if count == 0 {
        return Ok(&mut []);
    }
    check(name, data, count)?;
    // SAFETY: it is aligned, not NULL, and as long as the caller says; what is in it is not read.
    Ok(unsafe { std::slice::from_raw_parts_mut(data.cast::<MaybeUninit<T>>(), count) })
}

fn check<T>(name: &str, data: *const T, count: usize) -> Result<()> {
    if data.is_null() {
        return Err(Failed::input(name, "NULL", &format!("an array of {count}")));
    }
    if !data.is_aligned() {
        return Err(Failed::input(name, &format!("the address {data:p}"), "an aligned one"));
    }
    match count.checked_mul(size_of::<T>()).is_some_and(|bytes| isize::try_from(bytes).is_ok()) {
        true => Ok(()),
        false => Err(Failed::input(name, &format!("{count} elements"), "as many as memory can hold")),
    }
}

/// A handle that the caller got from this library.
///
/// # Safety
/// It is NULL, or a handle that was not freed, and lives for `'a`.
pub(crate) unsafe fn handle<'a, T>(name: &str, handle: *const T) -> Result<&'a T> {
    // SAFETY: as the caller says.
    unsafe { handle.as_ref() }.ok_or_else(|| Failed::input(name, "NULL", "a handle"))
}

/// The place for a new handle, which is set to NULL first.
///
/// # Safety
/// It is NULL, or a place for a pointer.
pub(crate) unsafe fn out<'a, T>(name: &str, place: *mut *mut T) -> Result<&'a mut *mut T> {
    if place.is_null() {
        return Err(Failed::input(name, "NULL", "a place for a handle"));
    }
    if !place.is_aligned() {
        return Err(Failed::input(name, &format!("the address {place:p}"), "an aligned one"));
    }
    // SAFETY: as the caller says.
    unsafe {
        place.write(std::ptr::null_mut());
        Ok(&mut *place)
    }
}

/// Options that begin with their size in bytes, and of which zero in every other field is the default.
///
/// # Safety
/// `repr(C)`, a `usize` at the beginning, and every pattern of bytes is a value.
pub(crate) unsafe trait Options {
    /// The name of the type, for messages.
    const NAME: &'static str;
    /// Its size in the first version that had it: when fields are added, the offset of the first of those.
    const FIRST: usize;
}

/// Most bytes of options: more come from a struct that nobody has filled.
const LARGEST: usize = 4096;

/// Options of the caller, whose header may be older or newer than this library; for NULL the defaults.
///
/// Fields that the caller's header does not have yet are zero. Fields that this library does not know must be zero.
///
/// # Safety
/// `options` is NULL, or points to as many bytes as its first field says.
pub(crate) unsafe fn options<T: Options>(options: *const T) -> Result<T> {
    let mut own = MaybeUninit::<T>::zeroed();
    if !options.is_null() {
        if !options.is_aligned() {
            return Err(Failed::input(T::NAME, &format!("the address {options:p}"), "an aligned one"));
        }
        // SAFETY: `T` begins with its size.
        let size = unsafe { options.cast::<usize>().read() };
        if size < T::FIRST || size > LARGEST {
            let expected = format!("sizeof({}), which is {}", T::NAME, size_of::<T>());
            return Err(Failed::input(&format!("{}.size", T::NAME), &size.to_string(), &expected));
        }
        // SAFETY: so many bytes are there, says the caller.
        let bytes = unsafe { std::slice::from_raw_parts(options.cast::<MaybeUninit<u8>>(), size) };
        let known = size.min(size_of::<T>());
        // SAFETY: both have so many bytes, and do not overlap.
        unsafe { bytes.as_ptr().copy_to_nonoverlapping(own.as_mut_ptr().cast(), known) };
        // SAFETY: bytes behind those of this version are fields of a newer one, which the caller has set.
        if bytes[known..].iter().any(|byte| unsafe { byte.assume_init() } != 0) {
            let text = format!(
                "{}: found an option that version {} does not know; expected a library as new as the header",
                T::NAME,
                env!("CARGO_PKG_VERSION")
            );
            return Err(Failed::new(LacunaStatus::Unsupported, text));
        }
    }
    // SAFETY: every pattern of bytes is a value.
    Ok(unsafe { own.assume_init() })
}

/// A list of results as an array, and its length in `*count`. NULL and 0 without a list; NULL if `count` is NULL.
///
/// # Safety
/// `count` is NULL, or a place for a number.
pub(crate) unsafe fn list<T>(list: Option<&[T]>, count: *mut usize) -> *const T {
    if count.is_null() || !count.is_aligned() {
        return std::ptr::null();
    }
    // SAFETY: as the caller says.
    unsafe { count.write(list.map_or(0, <[T]>::len)) };
    list.map_or(std::ptr::null(), <[T]>::as_ptr)
}

/// 0 or 1, as a truth value.
pub(crate) fn flag(name: &str, value: u32) -> Result<bool> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Failed::option(name, &value.to_string(), "0 or 1")),
    }
}
