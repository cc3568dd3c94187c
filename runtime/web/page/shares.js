// Labels of an engine that takes the shares of classes.

// Return labels as the engine takes them: as they are, or for soft labels the shares, a Float32Array of n·classes.
export function shares(labels, info, n) {
  if (!labels || !info.soft_labels || labels instanceof Float32Array) return labels;
  const rows = new Float32Array(n * info.classes.length);
  labels.forEach((label, row) => (rows[row * info.classes.length + label] = 1));
  return rows;
}
