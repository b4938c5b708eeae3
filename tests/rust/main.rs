// SPDX-License-Identifier: LGPL-2.1-or-later
// A program in Rust that saves a device in reboot mode and loads it again, with the bindings that
// bindgen makes from serial.h. Ends with 0 if all is right.
#![allow(dead_code, non_camel_case_types, non_snake_case, non_upper_case_globals)]

use std::ffi::{CStr, CString};
use std::mem::{size_of, zeroed};
use std::os::raw::{c_char, c_void};
use std::ptr::{addr_of, null, null_mut};

include!(env!("BINDINGS"));

#[no_mangle]
pub unsafe extern "C" fn serial_post_load(serial: *mut c_void, _version: u32, error: *mut *mut GError) -> bool {
    let serial = &*(serial as *const Serial);
    if serial.divisor == 0 {
        let format = b"the divisor\0".as_ptr() as *const c_char;
        return cpr_error_set_errno(error, CprError_CPR_ERROR_MISMATCH, 22, format);
    }
    true
}

unsafe extern "C" fn stop(_data: *mut c_void, _error: *mut *mut GError) -> bool {
    true
}

unsafe extern "C" fn start(_data: *mut c_void) {}

unsafe fn check(done: bool, error: *mut GError) {
    if !done {
        println!("{}", CStr::from_ptr((*error).message).to_string_lossy());
        std::process::exit(1);
    }
}

unsafe fn start_vm(incoming: *const c_char, serial: &mut Serial) -> *mut CprSession {
    let name = CString::new("rust").unwrap();
    let device = CString::new("com1").unwrap();
    let mut error: *mut GError = null_mut();
    let mut config: CprSessionConfig = zeroed();
    config.size = size_of::<CprSessionConfig>() as _;
    config.name = name.as_ptr();
    config.incoming = incoming;
    config.stop = Some(stop);
    config.start = Some(start);
    let session = cpr_session_new(&config, &mut error);
    check(!session.is_null(), error);
    let state = serial as *mut Serial as *mut c_void;
    check(cpr_device_add(session, device.as_ptr(), addr_of!(serial_type), state, &mut error), error);
    check(cpr_session_load(session, &mut error) && cpr_session_start(session, &mut error), error);
    session
}

fn main() {
    let path = std::env::args().nth(1).expect("a path for the state");
    let uri = CString::new(format!("file:{}", path)).unwrap();
    unsafe {
        let mut error: *mut GError = null_mut();
        let mut serial: Serial = zeroed();
        serial.ier = 5;
        serial.fifo_depth = 64;
        serial.divisor = 12;
        serial.fifo[15] = 77;
        let session = start_vm(null(), &mut serial);
        let mut update: CprUpdate = zeroed();
        update.size = size_of::<CprUpdate>() as _;
        update.mode = CprMode_CPR_MODE_REBOOT;
        update.uri = uri.as_ptr();
        check(cpr_session_update(session, &update, &mut error), error);
        cpr_session_free(session);

        let mut loaded: Serial = zeroed();
        let session = start_vm(uri.as_ptr(), &mut loaded);
        assert_eq!(loaded.ier, 5);
        assert_eq!(loaded.fifo_depth, 64);
        assert_eq!(loaded.divisor, 12);
        assert_eq!(loaded.fifo, serial.fifo);
        cpr_session_free(session);
    }
    println!("saved and loaded");
}
