// Continue a text, always with the most likely token, and show it while it comes.
//
//     cd examples/node && npm install && npm run transpile
//     node generate.js ../../host/model/default.gguf "Once upon a time"
//
// The component reads the one folder that it is given, and nothing else.

import { basename, dirname, resolve } from "node:path";
import { WASIShim } from "@bytecodealliance/preview2-shim/instantiation";
import { instantiate } from "./generated/wasm-chord.js";

const [file, text] = process.argv.slice(2);
const sandbox = { preopens: { models: dirname(resolve(file)) }, env: {}, args: [], enableNetwork: false };
const { files, generation } = await instantiate(null, new WASIShim({ sandbox }).getImportObject());

files.open(`models/${basename(file)}`);
const model = generation.Model.load({ cache: "f16" });
const sampling = {
  temperature: 0, // Always the most likely token; the rest changes nothing then.
  topK: 40,
  topP: 0.95,
  minP: 0.05,
  repeatPenalty: 1,
  repeatLast: 64,
  presencePenalty: 0,
  frequencyPenalty: 0,
  bias: [],
  seed: 0n,
};
const session = model.session(sampling, { tokens: 64, stop: [], stopTokens: [], ignoreEnd: false });
session.append(text, false);

process.stdout.write(text);
let finish;
while (!finish) {
  const [event] = model.advance([session]);
  process.stdout.write(event.text);
  finish = event.finish;
}
process.stdout.write("\n");
