// The engine in the page: ONNX Runtime's WebAssembly in a worker, so that the page never waits for it.
//
// The first message has the runtime and the graph, packed; each other one has z and labels, and gets the images.

import { levelsOf } from "./pixels.js";

let session, ort, info;

onmessage = async ({ data }) => {
  try {
    if (data.start) {
      await start(data.start);
      postMessage({ ready: true });
    } else {
      const levels = await images(data);
      postMessage({ id: data.id, levels }, [levels.buffer]);
    }
  } catch (error) {
    postMessage({ id: data.id, error: String(error.message ?? error) });
  }
};

async function start(given) {
  info = given.info;
  const [script, wasm, graph] = await Promise.all([given.script, given.wasm, given.graph].map(unpacked));
  // its address must not outlive this worker's: a blob of its own, imported at once
  const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  ort = await import(address);
  ort.env.wasm.numThreads = 1; // more need SharedArrayBuffer, which a file from disk does not get
  ort.env.wasm.wasmBinary = wasm; // else it would ask a server for it
  session = await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] });
}

// base64 of gzip -> bytes
async function unpacked(text) {
  const packed = Uint8Array.fromBase64?.(text) ?? decoded(text); // browsers before 2025 lack it
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function decoded(text) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

async function images({ z, labels, n }) {
  const feeds = { z: new ort.Tensor("float32", z, [n, info.latent]) };
  if (info.soft_labels) feeds.label = new ort.Tensor("float32", labels, [n, info.classes.length]);
  else if (labels) feeds.label = new ort.Tensor("int64", BigInt64Array.from(labels, BigInt), [n]);
  const { images: made } = await session.run(feeds);
  return made.type === "float32" ? levelsOf(made.data, info) : made.data.slice();
}
