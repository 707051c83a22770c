/** The id under which the store keeps a base. */
export function baseSnapshot(id: string): string {
  return `base-image.${id}`;
}

/** The id under which the store keeps what a step made. */
export function resultSnapshot(id: string): string {
  return `result.${id}`;
}

/** Of any result: those with no parent are bases. */
export function snapshotOf(row: { readonly id: string; readonly parent: string | null }): string {
  return row.parent === null ? baseSnapshot(row.id) : resultSnapshot(row.id);
}

/** The clone in which a step is made; caches of it have names that begin like it. */
export function cloneName(id: string): string {
  return `build-${id}`;
}

/** The owned name of all that a step's sandbox makes outside its files. */
export function sandboxName(id: string): string {
  return `pomona-build-${id.slice(0, 20)}`;
}
