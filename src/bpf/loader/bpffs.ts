/**
 * @module
 * Where the datapath lives between two agents: a bpffs, mounted if the folder is not one yet, and
 * the paths of everything pinned in it. Maps are below `tc/globals`, attachments below `cilium`.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileSystemMagic, mount } from '../../net/libc.ts';

const bpfFsMagic = 0xcafe4a11;

/** Mounts a bpffs at the folder unless it is inside one. True if it was mounted now. */
export function ensureBpffs(root: string): boolean {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  if (fileSystemMagic(root) >>> 0 === bpfFsMagic) return false;
  mount('bpf', root, 'bpf', 0, 'mode=0700');
  return true;
}

/** Folder of the pinned maps. */
export function mapsFolder(root: string): string {
  return join(root, 'tc', 'globals');
}

export function mapPath(root: string, map: string): string {
  return join(mapsFolder(root), map);
}

/** Folder of the links of one endpoint or device. */
export function linksFolder(root: string, owner: LinkOwner): string {
  return join(ownerFolder(root, owner), 'links');
}

/** Who a program is attached for: an endpoint by number, or a native device by name. */
export type LinkOwner =
  | { readonly kind: 'endpoint'; readonly id: number }
  | { readonly kind: 'device'; readonly name: string };

function ownersFolder(root: string, kind: LinkOwner['kind']): string {
  return join(root, 'cilium', kind === 'endpoint' ? 'endpoints' : 'devices');
}

function ownerFolder(root: string, owner: LinkOwner): string {
  // bpffs keeps dots in names for itself.
  const name = owner.kind === 'endpoint' ? String(owner.id) : owner.name.replaceAll('.', '_');
  return join(ownersFolder(root, owner.kind), name);
}

/** Everybody who has attachments pinned. */
export function pinnedOwners(root: string, kind: LinkOwner['kind']): LinkOwner[] {
  const names = namesIn(ownersFolder(root, kind));
  if (kind === 'device') return names.map((name) => ({ kind, name }));
  return names.map((name) => ({ kind, id: Number(name) }));
}

/** Unpins all of an owner. A tcx attachment ends with its last reference. Absent is success. */
export function unpinOwner(root: string, owner: LinkOwner): void {
  rmSync(ownerFolder(root, owner), { recursive: true, force: true });
}

export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
