//! The composed component in hosts of other languages: each says what the native host says.
//!
//! Their packages come from where `.ci/run` installs them. Without them there is nothing to test; CI insists.

#[path = "../../xtask/src/dist.rs"]
mod dist;

use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use wasm_chord::{Sampling, Stop};
use wasm_chord_tests::{builder, workspace};

/// Nothing that the rounding of an instruction set could change follows it.
const TEXT: &str = "The capital of France is";

/// The folder of the components, made of the sources as they are now.
static DIST: LazyLock<PathBuf> = LazyLock::new(|| {
    dist::run().expect("the components can be built");
    workspace().join("target/dist")
});

fn model() -> PathBuf {
    workspace().join("host/model/default.gguf")
}

/// What the native host says.
fn native() -> String {
    let model = builder().open(model()).expect("the default model opens");
    let stop = Stop { after: Some(64), ..Stop::default() };
    let mut session = model.session(&Sampling::greedy(), &stop).expect("greedy sampling makes sense");
    session.append(TEXT, false).expect("it can be appended");
    format!("{TEXT}{}\n", session.complete().expect("it goes on"))
}

/// Whether something was installed; if not, this is no CI.
fn installed(file: &Path) -> bool {
    let installed = file.exists();
    assert!(installed || std::env::var_os("CI").is_none(), "CI has {}", file.display());
    if !installed {
        let missing = file.display();
        writeln!(stderr(), "NOT TESTED: there is no {missing}; `.ci/run` shows how to install it")
            .expect("somebody reads it");
    }
    installed
}

fn said(command: &mut Command) -> String {
    let output = command.output().expect("it can be started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

#[test]
fn python_says_what_the_native_host_says() {
    let python = workspace().join("target/tools/python/bin/python");
    if installed(&python) {
        let program = workspace().join("examples/python/generate.py");
        let plugin = DIST.join("wasm-chord-plugin.wasm");
        let text = said(Command::new(python).arg(program).arg(plugin).arg(model()).arg(TEXT));
        assert_eq!(text, native());
    }
}

#[test]
fn node_says_what_the_native_host_says() {
    let folder = workspace().join("examples/node");
    if installed(&folder.join("node_modules")) {
        let node = || {
            let mut node = Command::new("node");
            node.current_dir(&folder);
            node
        };
        said(node().arg("transpile.js").arg(DIST.join("wasm-chord-plugin-simd128.wasm")));
        let text = said(node().arg("generate.js").arg(model()).arg(TEXT));
        assert_eq!(text, native());
    }
}
