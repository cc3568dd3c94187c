// The sliders: truncation, directions, single latents; and the class.

const RANGE = 4; // standard deviations of z
const byId = (id) => document.getElementById(id);

export function createControls(info, state) {
  const [truncation, shown] = slider("Truncation", { least: 0, most: 1.5, step: 0.01 }, (value) =>
    state.set({ truncation: value }),
  );
  byId("truncation").append(truncation);
  const update = [() => shown(state.settings().truncation)];
  if (info.classes) update.push(classes(info, state));
  if (info.directions.length) update.push(directions(info, state));
  update.push(singles(info, state));
  byId("reset").addEventListener("click", () => state.reset());
  const all = () => update.forEach((each) => each());
  state.on("settings", all);
  all();
}

function classes(info, state) {
  const select = byId("class");
  byId("class-field").hidden = false;
  select.append(new Option("the class of each seed", ""));
  info.classes.forEach((name, number) => select.append(new Option(name, number)));
  select.addEventListener("change", () => state.set({ label: select.value === "" ? null : Number(select.value) }));
  return () => (select.value = state.settings().label ?? "");
}

function directions(info, state) {
  byId("directions").hidden = false;
  const shows = info.directions.map(({ name }) => {
    const title = /^\d+$/.test(name) ? `Direction ${name}` : name;
    const [element, shown] = slider(title, { least: -RANGE, most: RANGE, step: 0.1 }, (value) =>
      state.set({ steps: { ...state.settings().steps, [name]: value } }),
    );
    byId("directions").append(element);
    return () => shown(state.settings().steps[name] ?? 0);
  });
  return () => shows.forEach((show) => show());
}

// A number chooses a latent, and it gets a slider of its own.
function singles(info, state) {
  const field = byId("latent");
  const list = byId("latents");
  field.max = info.latent - 1;
  byId("latent-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const index = Number(field.value);
    if (state.settings().latents[index] === undefined) {
      state.set({ latents: { ...state.settings().latents, [index]: 0 } });
    }
    list.querySelector(`[data-latent="${index}"] input`)?.focus();
    field.value = (index + 1) % info.latent;
  });
  const sliders = new Map(); // index -> [element, function that shows a value]
  return () => {
    const { latents } = state.settings();
    for (const [index, [element]] of sliders) {
      if (latents[index] === undefined) {
        element.remove();
        sliders.delete(index);
      }
    }
    for (const [index, value] of Object.entries(latents)) {
      if (!sliders.has(index)) {
        const made = slider(`Latent ${index}`, { least: -RANGE, most: RANGE, step: 0.1 }, (to) =>
          state.set({ latents: { ...state.settings().latents, [index]: to } }),
        );
        made[0].dataset.latent = index;
        sliders.set(index, made);
        list.append(made[0]);
      }
      sliders.get(index)[1](value);
    }
  };
}

// Return a slider with its name and value, and a function that shows a value.
function slider(title, { least, most, step }, changed) {
  const label = document.createElement("label");
  label.className = "slider";
  const name = document.createElement("span");
  name.textContent = title;
  const value = document.createElement("span"); // an output would take the label from the slider
  value.className = "value";
  const input = document.createElement("input");
  Object.assign(input, { type: "range", min: least, max: most, step });
  input.addEventListener("input", () => changed(Number(input.value)));
  label.append(name, value, input);
  const digits = step < 0.1 ? 2 : 1;
  return [
    label,
    (number) => {
      input.value = number;
      value.textContent = number.toFixed(digits);
    },
  ];
}
