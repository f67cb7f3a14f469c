/**
 * @module
 * The command line of `hubble observe` → the request and how to show the answer.
 */
import { GetFlowsRequest } from '../../api/gen/observer/observer.ts';
import { chooseColors } from './colors.ts';
import { buildFilterLists } from './filter-args.ts';
import type { ParsedFlag } from './flags.ts';
import { defaultFieldMask } from './observe-flags.ts';
import type { CommandIo } from './output.ts';
import { type OutputForm, outputForms, type PrinterOptions } from './printer.ts';
import { parseMoment, type TimeFormat, timeFormats } from './time.ts';
import { UsageError } from './usage-error.ts';

const lastDefault = 20;

/** The flags by name; the last one counts. */
export class FlagValues {
  readonly #values: ReadonlyMap<string, string>;

  constructor(flags: readonly ParsedFlag[]) {
    this.#values = new Map(flags.map((flag) => [flag.name, flag.value]));
  }

  text(name: string): string | undefined {
    return this.#values.get(name);
  }

  isSet(name: string): boolean {
    return this.#values.get(name) === 'true';
  }

  /** Throws UsageError for anything but a whole number. */
  count(name: string): bigint | undefined {
    const text = this.#values.get(name);
    if (text === undefined) return undefined;
    if (!/^\d{1,19}$/.test(text)) throw new UsageError(`--${name} ${text}: a number is needed`);
    return BigInt(text);
  }

  /** Throws UsageError for a word that is not in the list. */
  choice<Word extends string>(name: string, words: readonly Word[], otherwise: Word): Word {
    const text = this.#values.get(name);
    if (text === undefined) return otherwise;
    const found = words.find((word) => word === text);
    if (found === undefined) throw new UsageError(`--${name} ${text}: one of ${words.join(', ')}`);
    return found;
  }
}

export interface WindowOptions {
  readonly number: bigint;
  readonly first: boolean;
  readonly follow: boolean;
  readonly since: GetFlowsRequest['since'];
  readonly until: GetFlowsRequest['until'];
}

/** Which part of the ring; the same for flows and agent events. */
export function windowOptions(values: FlagValues, readsFile: boolean): WindowOptions {
  const first = values.count('first');
  const last = values.count('last');
  const follow = values.isSet('follow');
  const now = Date.now();
  const moment = (name: string) => {
    const text = values.text(name);
    return text === undefined ? undefined : parseMoment(text, name, now);
  };
  const since = moment('since');
  const until = moment('until');
  const all = values.isSet('all');
  const given = [first !== undefined && '--first', last !== undefined && '--last', all && '--all'];
  const several = given.filter((name) => name !== false);
  if (several.length > 1) throw new UsageError(`${several.join(' and ')} exclude each other`);
  if (first !== undefined && follow)
    throw new UsageError('--first and --follow exclude each other');
  const isOpen = all || follow || readsFile || since !== undefined || until !== undefined;
  const number = first ?? last ?? (isOpen ? 0n : BigInt(lastDefault));
  return { number, first: first !== undefined, follow, since, until };
}

/** Throws UsageError. */
export function flowsRequest(flags: readonly ParsedFlag[], values: FlagValues): GetFlowsRequest {
  const paths = values.text('field-mask') ?? values.text('experimental-field-mask');
  const usesDefault = values.isSet('experimental-use-default-field-masks');
  const mask = paths?.split(',') ?? (usesDefault ? [...defaultFieldMask] : undefined);
  return GetFlowsRequest.fromPartial({
    ...windowOptions(values, values.text('input-file') !== undefined),
    ...buildFilterLists(flags),
    ...(mask === undefined ? {} : { field_mask: mask }),
  });
}

/** Throws UsageError. */
export function printerOptions(values: FlagValues, io: CommandIo): PrinterOptions {
  const color = values.choice('color', ['auto', 'always', 'never'], 'auto');
  return {
    form: values.choice<OutputForm>('output', outputForms, 'compact'),
    nodeName: values.isSet('print-node-name'),
    timeFormat: values.choice<TimeFormat>('time-format', timeFormats, 'StampMilli'),
    silent: values.isSet('silent-errors'),
    colors: chooseColors(color, io.isTerminal, io.env),
    translateIps: values.text('ip-translation') !== 'false',
    policyNames: values.text('print-policy-names') !== 'false',
    numeric: values.isSet('numeric'),
  };
}
