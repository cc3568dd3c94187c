// One image, large: with its neighbours a key away, and the sliders beside it.

import { save } from "./files.js";
import { fit } from "./fit.js";
import { imageMark } from "./mark.js";
import { draw } from "./pixels.js";
import { png } from "./png.js";
import { MAX_SEED, firstSeed, seedText } from "./seeds.js";

const byId = (id) => document.getElementById(id);

// `panel` holds the sliders; `closed(seed)` is called when the dialog closes, and `failed(error)` for an error.
export function createLarge(info, images, state, panel, closed, failed) {
  const dialog = byId("large");
  const canvas = byId("large-image");
  const home = panel.parentElement;
  let seed = 0;
  let shown = 0; // images that were asked for: only the last one is drawn
  fit(canvas, info, 0.7);

  async function show(next) {
    const number = ++shown;
    seed = next;
    byId("large-said").textContent = "";
    const text = seedText(seed);
    const label = state.settings().label ?? (info.classes && firstSeed(seed) % info.classes.length);
    const called = info.classes ? `Seed ${text}, ${info.classes[label]}` : `Seed ${text}`;
    byId("large-title").textContent = called;
    canvas.setAttribute("aria-label", called);
    byId("previous").disabled = typeof seed !== "number" || seed === 0;
    byId("next").disabled = typeof seed !== "number" || seed === MAX_SEED;
    star();
    try {
      const levels = await images.ask(seed, () => number === shown);
      if (number === shown) draw(canvas, levels, info); // else a person has gone on
    } catch (error) {
      failed(error);
    }
  }

  function star() {
    const starred = state.isFavourite(seed);
    byId("star").setAttribute("aria-pressed", starred);
    byId("star").textContent = starred ? "★ Favourite" : "☆ Favourite";
  }

  function step(by) {
    if (typeof seed === "number" && seed + by >= 0 && seed + by <= MAX_SEED) show(seed + by);
  }

  async function saveImage() {
    try {
      const packet = imageMark(seed, info, state.settings()); // now: the sliders may move while the image is computed
      save(await png(await images.ask(seed), info, packet), `seed${seedText(seed).padStart(4, "0").replaceAll("*", "x")}.png`);
    } catch (error) {
      failed(error);
    }
  }

  dialog.addEventListener("keydown", (event) => {
    // arrows in a slider or a field move what is there
    if (event.target.matches("input, select, textarea") || event.altKey || event.metaKey || event.ctrlKey) return;
    const key = event.key.toLowerCase(); // Caps Lock makes an F
    if (key === "arrowleft") step(-1);
    else if (key === "arrowright") step(1);
    else if (key === "f") state.toggle(seed);
    else if (key === "s") saveImage();
    else return;
    event.preventDefault();
  });
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("star").addEventListener("click", () => state.toggle(seed));
  byId("save").addEventListener("click", saveImage);
  byId("large-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    home.append(panel);
    byId("large-said").textContent = "";
    closed(seed);
  });
  state.on("settings", () => dialog.open && show(seed));
  state.on("favourites", () => dialog.open && star());

  return {
    open(next) {
      show(next);
      if (dialog.open) return;
      byId("large-side").append(panel);
      dialog.showModal();
      byId("large-stage").focus(); // no button: the arrow keys are what is wanted next
    },
  };
}
