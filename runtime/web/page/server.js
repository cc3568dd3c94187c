// The engine on the server that sent the page: the KServe v2 protocol with binary tensors.

import { levelsOf } from "./pixels.js";
import { shares } from "./shares.js";

const TOKEN = "gantool-token"; // in this tab alone

// `askToken` returns a promise of the token that a person typed.
export async function serverEngine(askToken) {
  const info = await (await ask(`page/info.json${location.search}`, {}, askToken)).json();

  async function images(z, labels, n) {
    const inputs = [tensor("z", "FP32", [n, info.latent], z)];
    const rows = shares(labels, info, n);
    if (info.soft_labels) inputs.push(tensor("label", "FP32", [n, info.classes.length], rows));
    else if (rows) inputs.push(tensor("label", "INT64", [n], BigInt64Array.from(rows, BigInt)));
    const header = new TextEncoder().encode(
      JSON.stringify({
        inputs: inputs.map((each) => each.head),
        outputs: [{ name: "images", parameters: { binary_data: true } }],
      }),
    );
    const answer = await ask(
      `v2/models/${encodeURIComponent(info.name)}/infer`,
      {
        method: "POST",
        headers: {
          "Content-Type": "application/octet-stream",
          "Inference-Header-Content-Length": String(header.length),
        },
        body: new Blob([header, ...inputs.map((each) => each.data)]),
      },
      askToken,
    );
    return levels(answer, info);
  }
  return { info, images, started: Promise.resolve(), where: "on the server" };
}

function tensor(name, datatype, shape, data) {
  return { head: { name, datatype, shape, parameters: { binary_data_size: data.byteLength } }, data };
}

async function levels(answer, info) {
  const length = Number(answer.headers.get("Inference-Header-Content-Length"));
  const body = await answer.arrayBuffer();
  const { outputs } = JSON.parse(new TextDecoder().decode(body.slice(0, length)));
  const data = body.slice(length);
  const types = { UINT8: Uint8Array, UINT16: Uint16Array, FP32: Float32Array };
  const made = new types[outputs[0].datatype](data);
  return outputs[0].datatype === "FP32" ? levelsOf(made, info) : made;
}

// Ask the server; again with a token where it wants one, and later where it is busy.
async function ask(address, request, askToken) {
  for (let tries = 0; ; tries++) {
    const token = sessionStorage.getItem(TOKEN);
    const headers = { ...request.headers, ...(token && { Authorization: `Bearer ${token}` }) };
    const answer = await fetch(address, { ...request, headers });
    if (answer.ok) return answer;
    if (answer.status === 401) {
      sessionStorage.setItem(TOKEN, await askToken(tries > 0));
    } else if (answer.status === 503 && tries < 5) {
      const seconds = Number(answer.headers.get("Retry-After")) || 1;
      await new Promise((resolve) => setTimeout(resolve, 1000 * Math.min(seconds, 10)));
    } else {
      throw new Error(`the server answers ${answer.status}: ${(await answer.text()).slice(0, 200)}`);
    }
  }
}
