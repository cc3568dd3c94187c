// An encoder of PNG: a canvas multiplies colours by alpha and has 8 bits, so that its own PNG has other pixels.

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const COLOURS = { 1: 0, 3: 2, 4: 6 }; // colour type by channels

const KEYWORD = "XML:com.adobe.xmp"; // of the chunk with the mark

// Return a PNG, as a Blob, of one image: Uint8Array or Uint16Array of H·W·C. `packet` is XMP with its mark, or null.
export async function png(levels, info, packet) {
  const [height, width] = info.size;
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([info.bits, COLOURS[info.channels]], 8);
  const data = await deflated(lines(levels, height, width * info.channels, info.bits / 8));
  const mark = packet ? [chunk("iTXt", text(packet))] : [];
  const chunks = [chunk("IHDR", header), ...mark, chunk("IDAT", data), chunk("IEND", new Uint8Array())];
  return new Blob([new Uint8Array(SIGNATURE), ...chunks], { type: "image/png" });
}

// The bytes of the image, big-endian, each line after the number of its filter: 0, none.
function lines(levels, height, values, bytes) {
  const stride = 1 + values * bytes;
  const out = new Uint8Array(height * stride);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < values; x++) {
      const level = levels[y * values + x];
      const at = y * stride + 1 + x * bytes;
      if (bytes === 2) out[at] = level >> 8;
      out[at + bytes - 1] = level & 255;
    }
  }
  return out;
}

async function deflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// The content of a text chunk: not compressed, no language, no translation.
function text(packet) {
  const out = new Uint8Array(KEYWORD.length + 5 + packet.length);
  out.set(new TextEncoder().encode(KEYWORD));
  out.set(packet, KEYWORD.length + 5);
  return out;
}

function chunk(name, data) {
  const out = new Uint8Array(12 + data.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, data.length);
  out.set(new TextEncoder().encode(name), 4);
  out.set(data, 8);
  view.setUint32(8 + data.length, crc(out.subarray(4, 8 + data.length)));
  return out;
}

function crc(bytes) {
  let value = ~0;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
  }
  return ~value >>> 0;
}
