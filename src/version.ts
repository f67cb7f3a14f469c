/**
 * @module
 * What this build calls itself. The build writes both in; from source the version is "source".
 */
export const version: string = process.env.CILIUM_VERSION ?? 'source';
/** Short hash of the commit, empty when it was not built from a repository. */
export const commit: string = process.env.CILIUM_COMMIT ?? '';

/** One line, as `cilium version` prints it. */
export function versionLine(): string {
  const from = commit === '' ? '' : ` (${commit})`;
  return `cilium ${version}${from} bun ${Bun.version} ${process.platform}/${process.arch}`;
}
