// Translates the component to JavaScript and core modules in `generated/`, as `jco transpile --instantiation async` does.

import { transpile, writeFiles } from "@bytecodealliance/jco-transpile";

const [component] = process.argv.slice(2);
const { files } = await transpile(component, { name: "wasm-chord", outDir: "generated", instantiation: "async" });
await writeFiles(files);
