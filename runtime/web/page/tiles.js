// The tiles of the grid: an image, its seed, and a star.

import { draw } from "./pixels.js";
import { MAX_SEED } from "./seeds.js";

const SIDE = 128; // pixels that a small image is enlarged to, by a whole number, and a large one reduced to
const NARROW = 96; // the same, on a phone
const GAP = 8;

export function createTiles(info, images, on) {
  let shape;
  const line = 1.75 * parseFloat(getComputedStyle(document.documentElement).fontSize); // of the seed and the star

  // Choose the size of the tiles for a screen of this width.
  function fit(width) {
    shape = tileSize(info, width < 600 ? NARROW : SIDE);
  }

  function row(columns) {
    const element = document.createElement("div");
    element.className = "row";
    element.setAttribute("role", "row");
    element.number = null; // of the row that it shows
    element.hidden = true;
    for (let i = 0; i < columns; i++) element.append(tile());
    return element;
  }

  function tile() {
    const cell = document.createElement("div");
    cell.className = "tile";
    cell.setAttribute("role", "gridcell");
    cell.style.width = `${shape.width}px`;
    const picture = document.createElement("div");
    picture.className = "picture";
    picture.style.height = `${shape.height}px`;
    const canvas = picture.appendChild(document.createElement("canvas"));
    if (shape.enlarged) canvas.classList.add("pixels");
    if (info.channels === 4) canvas.classList.add("checkerboard");
    [canvas.height, canvas.width] = info.size;
    const name = document.createElement("span");
    const star = document.createElement("button"); // keys have f for it
    star.tabIndex = -1;
    const caption = document.createElement("div");
    caption.className = "caption";
    caption.append(name, star);
    cell.append(picture, caption);
    return cell;
  }

  // Show the seeds of row `number` in an element.
  function fill(element, number, columns) {
    element.hidden = false;
    element.setAttribute("aria-rowindex", number + 1);
    [...element.children].forEach((cell, column) => {
      const seed = number * columns + column;
      cell.hidden = seed > MAX_SEED;
      cell.seed = seed;
      cell.id = `seed-${seed}`;
      cell.setAttribute("aria-colindex", column + 1);
      cell.querySelector("span").textContent = seed;
      name(cell);
      const levels = images.get(seed);
      if (levels) paint(cell, levels);
      else blank(cell);
      if (cell.hidden) cell.classList.remove("waiting");
    });
  }

  function paint(cell, levels) {
    draw(cell.querySelector("canvas"), levels, info);
    cell.painted = true;
    cell.classList.remove("waiting");
  }

  function blank(cell) {
    cell.painted = false;
    cell.classList.add("waiting");
  }

  function name(cell) {
    const starred = on.isFavourite(cell.seed);
    const star = cell.querySelector("button");
    cell.classList.toggle("favourite", starred);
    cell.setAttribute("aria-label", `Seed ${cell.seed}${starred ? ", favourite" : ""}`);
    star.textContent = starred ? "★" : "☆";
    star.title = starred ? "Remove from the favourites" : "Add to the favourites";
    star.setAttribute("aria-label", `${star.title}: seed ${cell.seed}`);
    star.setAttribute("aria-pressed", starred);
  }

  return {
    fit,
    width: () => shape.width + GAP,
    height: () => shape.height + line + GAP,
    row,
    fill,
    seedAt: (target) => target.closest(".tile")?.seed ?? null,
    missing: (element) => [...element.children].filter((cell) => !cell.painted && !cell.hidden).map((cell) => cell.seed),
    age: (rows) => rows.forEach((element) => [...element.children].forEach((cell) => (cell.painted = false))),
    star: (element) => [...element.children].forEach(name),
    arrived(seeds) {
      for (const seed of seeds) {
        const cell = document.getElementById(`seed-${seed}`);
        const levels = images.get(seed);
        if (cell && levels) paint(cell, levels);
      }
    },
  };
}

// Small images are enlarged by a whole number, so that every pixel is as large as the next.
export function tileSize(info, side) {
  const [height, width] = info.size;
  const long = Math.max(height, width);
  const scale = long <= side ? Math.floor(side / long) : side / long;
  return { width: Math.round(width * scale), height: Math.round(height * scale), enlarged: scale >= 1 };
}
