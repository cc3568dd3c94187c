// Levels of an engine, as canvases take them.

// Round a level of 16 bits to 8, as runtime/outputs/images.py does.
const eightBits = (level) => Math.floor((level * 255 + 32767) / 65535);

// Draw image number `index` of `levels` on a canvas, which gets its size. Transparency stays; CSS lays it on a
// checkerboard.
export function draw(canvas, levels, info, index = 0) {
  const [height, width] = info.size;
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.getContext("2d").putImageData(rgba(levels, info, index), 0, 0);
}

// Return image number `index` of `levels` as ImageData.
export function rgba(levels, info, index = 0) {
  const [height, width] = info.size;
  const { channels } = info;
  const count = height * width;
  const start = index * count * channels;
  const image = new ImageData(width, height);
  const level = info.bits === 16 ? (at) => eightBits(levels[at]) : (at) => levels[at];
  for (let i = 0; i < count; i++) {
    const from = start + i * channels;
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = level(channels === 1 ? from : from + c);
    image.data[4 * i + 3] = channels === 4 ? level(from + 3) : 255;
  }
  return image;
}

// Turn floats, [n, C, H, W] in [-1, 1], into levels, [n, H, W, C], as the tail of a graph does.
export function levelsOf(floats, info) {
  const [height, width] = info.size;
  const { channels } = info;
  const [scale, shift, white] = info.bits === 16 ? [32767.5, 32768, 65535] : [127.5, 128, 255];
  const levels = info.bits === 16 ? new Uint16Array(floats.length) : new Uint8Array(floats.length);
  const plane = height * width;
  for (let i = 0; i < floats.length; i++) {
    const pixel = i % plane;
    const channel = Math.floor(i / plane) % channels;
    const image = Math.floor(i / plane / channels);
    const value = Math.fround(Math.fround(floats[i] * scale) + shift);
    levels[(image * plane + pixel) * channels + channel] = Math.min(white, Math.max(0, value));
  }
  return levels;
}
