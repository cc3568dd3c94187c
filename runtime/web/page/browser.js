// The engine inside the file: starts the worker, and passes z to it and images back.

import { shares } from "./shares.js";

export function browserEngine() {
  const info = JSON.parse(text("info"));
  const address = URL.createObjectURL(new Blob([text("worker")], { type: "text/javascript" }));
  const worker = new Worker(address); // not as a module: Chromium starts none from a file on disk
  const waiting = new Map(); // id -> [resolve, reject]
  let last = 0;
  const started = new Promise((resolve, reject) => {
    worker.onerror = (event) => reject(new Error(event.message || "this browser does not start the engine; try one of 2023 or later"));
    worker.onmessage = ({ data }) => {
      if (data.id === undefined) return data.error ? reject(new Error(data.error)) : resolve();
      const [done, failed] = waiting.get(data.id);
      waiting.delete(data.id);
      if (data.error) failed(new Error(data.error));
      else done(data.levels);
    };
  });
  const packed = { info, script: text("runtime-script"), wasm: text("runtime-wasm"), graph: text("graph") };
  worker.postMessage({ start: packed });

  async function images(z, labels, n) {
    await started;
    const id = ++last;
    const answer = new Promise((...both) => waiting.set(id, both));
    worker.postMessage({ id, z, labels: shares(labels, info, n), n });
    return answer;
  }
  return { info, images, started, where: "in this browser" };
}

function text(id) {
  const element = document.getElementById(id);
  const found = element.textContent;
  if (id !== "info") element.remove(); // megabytes that nothing needs again
  return found;
}
