/**
 * @module
 * The compiled eBPF objects and the native library: inside the executable when
 * it is compiled, in dist/ when the project runs from source.
 */
import { existsSync, readFileSync } from 'node:fs';
import { nativeLibraryPath, objectPaths } from '../gen/objects.ts';

/** Name of a program file of src/bpf/prog, without its ending. */
export type ObjectName = keyof typeof objectPaths;

// Where Bun shows the files that a compiled executable carries.
const embeddedRoot = '/$bunfs/';

/** The bytes of a compiled object, for BpfObject.open. */
export function objectBytes(name: ObjectName): Uint8Array {
  return readFileSync(built(objectPaths[name]));
}

/** The library's path, and its bytes when the path is one that only Bun can open. */
export function nativeLibrary(): { readonly path: string; readonly bytes: Uint8Array | undefined } {
  const path = built(nativeLibraryPath);
  return { path, bytes: path.startsWith(embeddedRoot) ? readFileSync(path) : undefined };
}

function built(path: string): string {
  if (!path.startsWith(embeddedRoot) && !existsSync(path)) {
    throw new Error(`open ${path}: not built yet: run bun run build`);
  }
  return path;
}
