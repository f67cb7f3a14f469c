/**
 * @module
 * Programs on interfaces. A tcx link is pinned under its owner, so that it outlives the agent; a
 * new agent opens it and replaces the program between two packets. Before Linux 6.6 the same is
 * done with clsact filters, which live on the device by themselves.
 */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { attachClsact, BpfLink, type Direction, detachClsact } from '../libbpf/link.ts';
import type { BpfProgram } from '../libbpf/program.ts';
import { type LinkOwner, linksFolder, namesIn, pinnedOwners, unpinOwner } from './bpffs.ts';
import { withShortGracePeriods } from './grace-period.ts';

export type AttachMode = 'tcx' | 'tc';

/** A program, and which traffic of a device it sees. */
export interface Hook {
  readonly program: BpfProgram;
  readonly direction: Direction;
}

export class Attachments {
  readonly #root: string;
  readonly mode: AttachMode;
  /** An earlier agent may have left filters: it had maps but no links. */
  readonly #formerFilters: boolean;

  /** `adopted`: an earlier agent's maps are in use. */
  constructor(root: string, mode: AttachMode, adopted: boolean) {
    this.#root = root;
    this.mode = mode;
    this.#formerFilters = adopted && this.owners('endpoint').length === 0;
  }

  /**
   * Attaches, or replaces the program that is attached; what an earlier agent had there beside these
   * ends. May be repeated.
   */
  attach(owner: LinkOwner, ifindex: number, hooks: readonly Hook[]): void {
    if (this.mode === 'tc') {
      for (const { program, direction } of hooks) attachClsact(program, ifindex, direction);
      for (const direction of directionsWithout(hooks)) detachClsact(ifindex, direction);
      // Of an agent that used tcx: the filters are in place, so nothing passes unseen.
      unpinOwner(this.#root, owner);
      return;
    }
    const folder = linksFolder(this.#root, owner);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const hook of hooks) {
      attachLink(join(folder, hook.program.name), ifindex, hook);
      if (this.#formerFilters) detachClsact(ifindex, hook.direction);
    }
    const wanted = new Set(hooks.map(({ program }) => program.name));
    for (const name of namesIn(folder)) if (!wanted.has(name)) rmSync(join(folder, name));
    if (!this.#formerFilters) return;
    for (const direction of directionsWithout(hooks)) detachClsact(ifindex, direction);
  }

  /** Absent is success. Of clsact the device's own end takes care, if it is gone already. */
  detach(owner: LinkOwner, ifindex: number, directions: readonly Direction[]): void {
    if (this.mode === 'tc') {
      for (const direction of directions) detachClsact(ifindex, direction);
    }
    unpinOwner(this.#root, owner);
  }

  /** Owners with pinned links, for instance of an earlier agent. */
  owners(kind: LinkOwner['kind']): LinkOwner[] {
    return pinnedOwners(this.#root, kind);
  }

  /** The programs by name that an owner has attached, with the device of each. */
  list(owner: LinkOwner): { readonly program: string; readonly ifindex: number }[] {
    const folder = linksFolder(this.#root, owner);
    return namesIn(folder).map((program) => {
      using link = BpfLink.openPinned(join(folder, program));
      return { program, ifindex: link.query().ifindex };
    });
  }
}

function directionsWithout(hooks: readonly Hook[]): Direction[] {
  const used = new Set(hooks.map(({ direction }) => direction));
  return (['ingress', 'egress'] as const).filter((direction) => !used.has(direction));
}

function attachLink(path: string, ifindex: number, hook: Hook): void {
  if (existsSync(path)) {
    using link = BpfLink.openPinned(path);
    if (link.query().ifindex === ifindex) {
      link.update(hook.program);
      return;
    }
    // The device it was for is gone: another one now has the owner's name or number.
    rmSync(path);
  }
  using link = withShortGracePeriods(() =>
    BpfLink.attachTcx(hook.program, ifindex, hook.direction),
  );
  link.pin(path);
}
