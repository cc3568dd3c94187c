// A writer of animated GIF. Like `gantool morph`: over white, with a palette of 256 colours for each frame.

const INDEX_BITS = 8;
const [CLEAR, END] = [256, 257]; // codes
const LAST = 4096; // codes have up to 12 bits

// What follows an XMP packet, which is not in blocks: a reader that takes its bytes for lengths of blocks comes out here.
const XMP_END = [1, ...Array.from({ length: 256 }, (_, n) => 255 - n), 0];

// Each pixel becomes scale × scale. `packet` is XMP with the mark of the film, or null.
export function createGif(width, height, scale, fps, packet) {
  const size = [...short(width * scale), ...short(height * scale)];
  // no palette for all frames; Netscape's extension: repeat for ever
  const parts = [bytes(ascii("GIF89a"), size, [0x70, 0, 0], [0x21, 0xff, 11], ascii("NETSCAPE2.0"), [3, 1, 0, 0, 0])];
  if (packet) parts.push(bytes([0x21, 0xff, 11], ascii("XMP DataXMP")), packet, bytes(XMP_END));
  const time = (frames) => Math.round((100 * frames) / fps); // in hundredths of a second
  let frames = 0;

  // `image` is an ImageData.
  function add(image) {
    const delay = time(frames + 1) - time(frames++);
    const { palette, indices } = quantized(image.data);
    parts.push(bytes([0x21, 0xf9, 4, 4], short(delay), [0, 0], [0x2c, 0, 0, 0, 0], size, [0x87]), palette);
    parts.push(...compressed(enlarged(indices, width, height, scale)));
  }

  return { add, blob: () => new Blob([...parts, bytes([0x3b])], { type: "image/gif" }) };
}

const ascii = (text) => [...text].map((letter) => letter.charCodeAt(0));
const short = (number) => [number & 255, number >> 8];
const bytes = (...lists) => new Uint8Array(lists.flat());

// Return a palette of 256 colours, and the index of each pixel of RGBA: by median cut (Heckbert 1982), of colours with
// 32 levels a channel. A colour of the palette is the mean of its pixels.
function quantized(data) {
  const bins = new Uint16Array(data.length / 4);
  const counts = new Uint32Array(32 ** 3);
  const sums = new Float64Array(3 * 32 ** 3);
  for (let pixel = 0; pixel < bins.length; pixel++) {
    const alpha = data[4 * pixel + 3] / 255;
    const over = (c) => Math.round(255 + (data[4 * pixel + c] - 255) * alpha);
    const [red, green, blue] = [over(0), over(1), over(2)];
    const bin = ((red >> 3) << 10) | ((green >> 3) << 5) | (blue >> 3);
    bins[pixel] = bin;
    counts[bin]++;
    sums[3 * bin] += red;
    sums[3 * bin + 1] += green;
    sums[3 * bin + 2] += blue;
  }
  const boxes = [boxOf(Array.from(counts.keys()).filter((bin) => counts[bin]), counts)];
  while (boxes.length < 256) {
    const widest = boxes.reduce((best, box) => (box.weight > best.weight ? box : best));
    if (!widest.weight) break; // every box is one colour
    boxes.splice(boxes.indexOf(widest), 1, ...halves(widest, counts));
  }
  const palette = new Uint8Array(3 * 256);
  const index = new Uint8Array(counts.length);
  for (const [number, box] of boxes.entries()) {
    for (let c = 0; c < 3; c++) {
      palette[3 * number + c] = Math.round(box.bins.reduce((sum, bin) => sum + sums[3 * bin + c], 0) / box.pixels);
    }
    for (const bin of box.bins) index[bin] = number;
  }
  return { palette, indices: bins.map((bin) => index[bin]) };
}

// A box of colours, its pixels, its longest axis, and how much it wants to be cut.
function boxOf(bins, counts) {
  let [axis, longest] = [0, -1];
  for (const shift of [10, 5, 0]) {
    let [low, high] = [31, 0];
    for (const bin of bins) {
      const level = (bin >> shift) & 31;
      low = Math.min(low, level);
      high = Math.max(high, level);
    }
    if (high - low > longest) [axis, longest] = [shift, high - low];
  }
  const pixels = bins.reduce((sum, bin) => sum + counts[bin], 0);
  return { bins, pixels, axis, weight: pixels * longest };
}

// Cut a box where it has as many pixels on both sides.
function halves({ bins, pixels, axis }, counts) {
  const sorted = [...bins].sort((a, b) => ((a >> axis) & 31) - ((b >> axis) & 31));
  let [left, cut] = [pixels / 2, 0];
  while (left > 0) left -= counts[sorted[cut++]];
  cut = Math.min(cut, sorted.length - 1);
  return [boxOf(sorted.slice(0, cut), counts), boxOf(sorted.slice(cut), counts)];
}

function enlarged(indices, width, height, scale) {
  const out = new Uint8Array(indices.length * scale ** 2);
  const stride = width * scale;
  for (let y = 0; y < height; y++) {
    const begin = y * scale * stride;
    for (let x = 0; x < stride; x++) out[begin + x] = indices[y * width + Math.floor(x / scale)];
    for (let line = 1; line < scale; line++) out.copyWithin(begin + line * stride, begin, begin + stride);
  }
  return out;
}

// Return indices as the blocks of an image: LZW, with codes of 9 to 12 bits.
function compressed(indices) {
  const out = [];
  const codes = new Map(); // a known code and the index after it -> the code of both
  let [size, next, held, bits] = [INDEX_BITS + 1, END + 1, 0, 0];

  function put(code) {
    held |= code << bits;
    for (bits += size; bits >= 8; bits -= 8) {
      out.push(held & 255);
      held >>>= 8;
    }
  }

  function grow() {
    if (next === 1 << size && next < LAST) size++;
  }

  put(CLEAR);
  let code = indices[0];
  for (let place = 1; place < indices.length; place++) {
    const pair = (code << 8) | indices[place];
    const known = codes.get(pair);
    if (known !== undefined) {
      code = known;
      continue;
    }
    put(code);
    if (next === LAST) {
      put(CLEAR);
      codes.clear();
      [size, next] = [INDEX_BITS + 1, END + 1];
    } else {
      grow();
      codes.set(pair, next++);
    }
    code = indices[place];
  }
  put(code);
  grow(); // a reader has as many codes by now
  put(END);
  if (bits) out.push(held & 255);

  const blocks = [bytes([INDEX_BITS])];
  for (let start = 0; start < out.length; start += 255) {
    const block = out.slice(start, start + 255);
    blocks.push(bytes([block.length], block));
  }
  return [...blocks, bytes([0])];
}
