// The size of a large image: as large as its place allows, by a whole number if it is enlarged.

// Keep the size of a canvas right. `share` is the most of the screen's height that it takes.
export function fit(canvas, info, share) {
  const [height, width] = info.size;
  const frame = canvas.parentElement;

  function resize() {
    const most = Math.min(frame.clientWidth / width, (share * innerHeight) / height, 1024 / Math.max(width, height));
    const scale = most > 1 ? Math.floor(most) : most;
    canvas.classList.toggle("pixels", scale > 1);
    canvas.style.width = `${width * scale}px`;
    canvas.style.height = `${height * scale}px`;
  }

  new ResizeObserver(resize).observe(frame);
  addEventListener("resize", resize);
}
