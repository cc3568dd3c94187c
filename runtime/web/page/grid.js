// The grid of seeds: it scrolls through all 2^32 of them, with as many canvases as fit on the screen.
//
// Rows are reused as they leave the screen. A browser limits the height of an element, so the scrolled element shows
// a window of the rows, which moves on when its end comes near.

import { createTiles } from "./tiles.js";
import { MAX_SEED } from "./seeds.js";

const HEIGHT = 8e6; // pixels of the window; Firefox takes 17 million
const EXTRA = 2; // rows above and below the screen

// `root` is the element that scrolls. `on.open(seed)` and `on.favourite(seed)` are called by mouse and keys.
export function createGrid(root, info, images, on) {
  const tiles = createTiles(info, images, on);
  const sheet = root.appendChild(document.createElement("div"));
  sheet.className = "sheet";
  let columns = 0; // of the grid
  let top = 0; // the first row of the window
  let rows = 0; // of the window
  let all = 0; // rows of all seeds
  let pool = []; // elements of rows; row r is in number r mod pool.length
  let active = 0; // the seed that keys act on
  let drawing = 0;

  const rowOf = (seed) => Math.floor(seed / columns);
  const firstRow = () => top + Math.floor(root.scrollTop / tiles.height());

  function layOut() {
    const seed = columns ? firstRow() * columns : active;
    tiles.fit(root.clientWidth);
    columns = Math.max(1, Math.floor(sheet.clientWidth / tiles.width()));
    all = Math.ceil((MAX_SEED + 1) / columns);
    rows = Math.min(all, Math.floor(HEIGHT / tiles.height()));
    sheet.style.height = `${rows * tiles.height()}px`;
    const count = Math.ceil(root.clientHeight / tiles.height()) + 1 + 2 * EXTRA;
    pool = Array.from({ length: count }, () => tiles.row(columns));
    sheet.replaceChildren(...pool);
    root.setAttribute("aria-rowcount", all);
    root.setAttribute("aria-colcount", columns);
    scrollTo(rowOf(seed));
  }

  // Put a row at the top of the screen.
  function scrollTo(row) {
    place(row);
    root.scrollTop = (row - top) * tiles.height();
    render();
  }

  // Move the window so that this row is in its middle, or near it at the ends of the grid.
  function place(row) {
    top = Math.max(0, Math.min(all - rows, row - Math.floor(rows / 2)));
    for (const element of pool) element.number = null;
  }

  function scrolled() {
    if (!drawing) drawing = requestAnimationFrame(render);
  }

  function render() {
    cancelAnimationFrame(drawing);
    drawing = 0;
    const row = firstRow();
    const margin = rows / 10;
    if ((row - top < margin && top > 0) || (top + rows - row < margin && top + rows < all)) {
      const past = root.scrollTop % tiles.height();
      place(row);
      root.scrollTop = (row - top) * tiles.height() + past;
    }
    const from = Math.max(0, row - EXTRA);
    const end = Math.min(all, from + pool.length);
    for (let number = from; number < end; number++) {
      const element = pool[number % pool.length];
      if (element.number === number) continue;
      element.number = number;
      element.style.transform = `translateY(${(number - top) * tiles.height()}px)`;
      tiles.fill(element, number, columns);
    }
    mark();
    want();
  }

  // What is on the screen comes first, then the rows around it.
  function want() {
    const row = firstRow();
    const near = pool.filter((element) => element.number !== null);
    const away = (element) => (element.number < row ? 1e6 : 0) + Math.abs(element.number - row);
    near.sort((one, other) => away(one) - away(other));
    images.want(near.flatMap((element) => tiles.missing(element)));
  }

  function mark() {
    sheet.querySelector(".active")?.classList.remove("active");
    const cell = document.getElementById(`seed-${active}`);
    cell?.classList.add("active");
    if (cell) root.setAttribute("aria-activedescendant", cell.id);
    else root.removeAttribute("aria-activedescendant");
  }

  // Make a seed the one that keys act on, and scroll as little as shows all of it.
  function activate(seed) {
    active = Math.max(0, Math.min(MAX_SEED, seed));
    const row = rowOf(active);
    const above = (row - top) * tiles.height();
    if (row < top || row >= top + rows) scrollTo(row);
    else if (above < root.scrollTop) root.scrollTop = above;
    else if (above + tiles.height() > root.scrollTop + root.clientHeight) {
      root.scrollTop = above + tiles.height() - root.clientHeight;
    }
    render();
  }

  function pressed(event) {
    if (event.altKey || event.metaKey || event.target !== root) return;
    const page = Math.max(1, Math.floor(root.clientHeight / tiles.height())) * columns;
    const start = active - (active % columns);
    const moves = {
      ArrowLeft: active - 1,
      ArrowRight: active + 1,
      ArrowUp: active - columns,
      ArrowDown: active + columns,
      PageUp: active - page,
      PageDown: active + page,
      Home: event.ctrlKey ? 0 : start,
      End: event.ctrlKey ? MAX_SEED : start + columns - 1,
    };
    if (event.key in moves) {
      if (moves[event.key] >= 0 && moves[event.key] <= MAX_SEED) activate(moves[event.key]);
    } else if (event.ctrlKey) return; // Ctrl+F is the browser's
    else if (event.key === "Enter") on.open(active);
    else if (event.key === "f" || event.key === "F" || event.key === " ") on.favourite(active);
    else return;
    event.preventDefault();
  }

  root.addEventListener("scroll", scrolled, { passive: true });
  root.addEventListener("keydown", pressed);
  root.addEventListener("click", (event) => {
    const seed = tiles.seedAt(event.target);
    if (seed === null) return;
    active = seed;
    mark();
    if (event.target.closest("button")) on.favourite(seed);
    else on.open(seed);
  });
  new ResizeObserver(layOut).observe(root);

  return {
    activate,
    jump(seed) {
      active = seed;
      scrollTo(rowOf(seed));
    },
    arrived: (seeds) => tiles.arrived(seeds),
    // The settings changed: what is shown stays until its new images come.
    refresh() {
      tiles.age(pool);
      want();
    },
    // The favourites changed.
    star: () => pool.forEach((element) => tiles.star(element)),
  };
}
