import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import {
  closeSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  watch,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { DirectoryWatch } from './directory.ts';
import { policy, ReflectorFixture, until } from './reflector-fixture.ts';
import { describeFiles } from './stand-in.ts';

let fixture: ReflectorFixture;
let root: string;

beforeEach(() => {
  fixture = new ReflectorFixture();
  root = fixture.root;
});

afterEach(() => fixture[Symbol.dispose]());

const start: ReflectorFixture['start'] = (...options) => fixture.start(...options);

describe('policy reflector', () => {
  test('what is there is in the tables when start returns', () => {
    writeFileSync(join(root, 'a.yaml'), policy('a'));
    renameSync(join(root, 'a.yaml'), join(root, 'b.yaml'));
    writeFileSync(join(root, 'readme.txt'), 'no policy');
    const { names, files } = start();
    expect(names()).toEqual(['a']);
    expect([...files.all()]).toMatchObject([
      { name: 'b.yaml', rules: 1, status: { kind: 'done' } },
    ]);
  });

  test('written, replaced by rename, deleted', async () => {
    const { names, rules, revision } = start();
    writeFileSync(join(root, 'a.yaml'), policy('a'));
    await until(() => names().length === 1);
    writeFileSync(join(root, 'a.tmp'), policy('b'));
    renameSync(join(root, 'a.tmp'), join(root, 'a.yaml'));
    await until(() => names()[0] === 'b');
    const before = revision.current;
    expect([...rules.all()][0]?.revision).toBe(before);
    unlinkSync(join(root, 'a.yaml'));
    await until(() => rules.size === 0);
    expect(revision.current).toBe(before + 1);
  });

  test('a wrong or empty file leaves its last good rules in force', async () => {
    const { names, files, rules } = start();
    const path = join(root, 'a.yaml');
    writeFileSync(path, `${policy('a')}---\n${policy('b')}`);
    await until(() => names().length === 2);
    const [first] = [...rules.all()];
    writeFileSync(path, `${policy('c')}---\n${policy('d').replace('ingress', 'ingres')}`);
    await until(() => files.get('a.yaml')?.status.kind === 'error');
    expect(files.get('a.yaml')?.status).toMatchObject({
      message: expect.stringContaining(
        'default/d: spec.ingres: unknown field (did you mean ingress?)',
      ),
    });
    expect(names()).toEqual(['a', 'b']);
    expect(files.get('a.yaml')?.rules).toBe(2);
    writeFileSync(path, '');
    await until(() => JSON.stringify(files.get('a.yaml')?.status).includes('no document'));
    expect(names()).toEqual(['a', 'b']);
    expect([...rules.all()][0]).toBe(first as NonNullable<typeof first>);
    writeFileSync(path, policy('c'));
    await until(() => names()[0] === 'c');
    expect(names()).toEqual(['c']);
    expect(files.get('a.yaml')?.status.kind).toBe('done');
  });

  test('a file written in pieces is never seen half', async () => {
    const { names, rules } = start();
    const path = join(root, 'a.yaml');
    const whole = `${policy('a')}---\n${policy('b')}`;
    const states = new Set<string>();
    const subscription = rules.subscribe(() => states.add(names().join(',')));
    for (let end = 0; end < whole.length; end += 20) {
      writeFileSync(path, whole.slice(0, end));
      if (end % 60 === 0) await Promise.resolve();
    }
    writeFileSync(path, whole);
    await until(() => names().length === 2);
    subscription[Symbol.dispose]();
    expect([...states]).toEqual(['a,b']);
  });

  test('nor while its writer has it open, however long it pauses between documents', async () => {
    const { names, rules } = start();
    const states = new Set<string>();
    const subscription = rules.subscribe(() => states.add(names().join(',')));
    const fd = openSync(join(root, 'a.yaml'), 'w');
    writeSync(fd, policy('a'));
    await Bun.sleep(100);
    writeSync(fd, `---\n${policy('b')}`);
    closeSync(fd);
    await until(() => names().length === 2);
    subscription[Symbol.dispose]();
    expect([...states]).toEqual(['a,b']);
  });

  test('a directory that comes later, goes, and comes again', async () => {
    const directory = join(root, 'deep', 'policies');
    const { names } = start(directory);
    expect(names()).toEqual([]);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'a.yaml'), policy('a'));
    await until(() => names().length === 1);
    rmSync(directory, { recursive: true });
    await until(() => names().length === 0);
    mkdirSync(directory);
    writeFileSync(join(directory, 'b.yaml'), policy('b'));
    await until(() => names()[0] === 'b');
  });

  test('a swapped symlink changes all files in one batch', async () => {
    const version = (name: string, app: string) => {
      mkdirSync(join(root, name));
      writeFileSync(join(root, name, 'a.yaml'), policy('a', app));
      writeFileSync(join(root, name, 'b.yaml'), policy('b', app));
    };
    version('..one', 'x');
    symlinkSync('..one', join(root, '..data'));
    symlinkSync('..data/a.yaml', join(root, 'a.yaml'));
    symlinkSync('..data/b.yaml', join(root, 'b.yaml'));
    const { rules, batches } = start();
    const apps = () =>
      [...rules.all()].map((row) => row.rule.subject.matchLabels['any:app']).join();
    await until(() => apps() === 'x,x');
    version('..two', 'y');
    symlinkSync('..two', join(root, '..tmp'));
    batches.length = 0;
    renameSync(join(root, '..tmp'), join(root, '..data'));
    await until(() => apps() === 'y,y');
    expect(batches).toEqual([['a.yaml', 'b.yaml']]);
  });

  test('every version of a file that is written or renamed again and again arrives', async () => {
    const { rules } = start();
    for (let round = 0; round < 40; round++) {
      if (round % 2 === 0) writeFileSync(join(root, 'a.yaml'), policy(`p${round}`));
      else {
        writeFileSync(join(root, 'tmp'), policy(`p${round}`));
        renameSync(join(root, 'tmp'), join(root, 'a.yaml'));
      }
      await until(() => [...rules.all()].some((row) => row.name === `p${round}`));
    }
  });

  describe('an earlier agent’s last good content', () => {
    const state = () => join(root, 'state');
    const policies = () => join(root, 'files');
    const lastGood = () => fixture.lastGood(state());
    beforeEach(() => {
      mkdirSync(policies());
      writeFileSync(join(policies(), 'a.yaml'), policy('good'));
      writeFileSync(join(policies(), 'b.yaml'), policy('other'));
      expect(start(policies(), lastGood()).names()).toEqual(['good', 'other']);
      fixture.stop();
    });

    test('is in force when the file is refused at start', () => {
      writeFileSync(join(policies(), 'a.yaml'), 'nonsense');
      const { names, files } = start(policies(), lastGood());
      expect(names()).toEqual(['good', 'other']);
      expect(files.get('a.yaml')).toMatchObject({ rules: 1, status: { kind: 'error' } });
      expect(files.get('a.yaml')?.revision).toBeGreaterThan(0);
    });

    test('is in force when the directory cannot be read, until it can', () => {
      renameSync(policies(), join(root, 'away'));
      writeFileSync(policies(), 'a file');
      expect(start(policies(), lastGood()).names()).toEqual(['good', 'other']);
    });

    test('goes with its file', async () => {
      unlinkSync(join(policies(), 'a.yaml'));
      expect(start(policies(), lastGood()).names()).toEqual(['other']);
      fixture.stop();
      expect(lastGood().names()).toEqual(['b.yaml']);
    });

    test('is ignored when it is not sound itself', () => {
      writeFileSync(join(policies(), 'a.yaml'), 'nonsense');
      writeFileSync(join(state(), 'last-good-policies/a.yaml'), '\u0000{');
      const { names, files } = start(policies(), lastGood());
      // A rule that denies everything stands for it.
      expect(names()).toEqual(['a.yaml', 'other']);
      expect(files.get('a.yaml')).toMatchObject({ rules: 0, revision: 0 });
    });
  });

  describe('a file of which nothing good is known', () => {
    const closed = expect.stringContaining('all pods are closed until it is mended');

    test('closes all pods if it is there at start, until it is good', async () => {
      writeFileSync(join(root, 'a.yaml'), 'nonsense');
      writeFileSync(join(root, 'b.yaml'), policy('b'));
      writeFileSync(join(root, 'c.yaml'), '');
      const { rules, files, names } = start();
      expect(names()).toEqual(['a.yaml', 'b', 'c.yaml']);
      expect(rules.by('origin', 'a.yaml')).toMatchObject([
        {
          name: 'a.yaml',
          labels: ['reserved:io.cilium.policy.derived-from=unreadable-policy-file'],
          rule: { subject: { requirements: [] }, ingress: [], egress: [] },
        },
      ]);
      expect(files.get('a.yaml')).toMatchObject({ rules: 0, status: { message: closed } });
      expect(describeFiles(files, rules)).toBe(
        'all pods are closed until these policy files are mended or deleted: a.yaml, c.yaml',
      );
      writeFileSync(join(root, 'a.yaml'), 'other nonsense');
      await until(() => JSON.stringify(files.get('a.yaml')?.status).includes('"attempts":2'));
      expect(files.get('a.yaml')).toMatchObject({ status: { message: closed } });
      writeFileSync(join(root, 'a.yaml'), policy('a'));
      unlinkSync(join(root, 'c.yaml'));
      await until(() => names().join() === 'a,b');
      expect(describeFiles(files, rules)).toBeUndefined();
    });

    test('changes nothing if it comes while the agent runs', async () => {
      const { rules, files } = start();
      writeFileSync(join(root, 'a.yaml'), 'nonsense');
      await until(() => files.get('a.yaml')?.status.kind === 'error');
      expect(rules.size).toBe(0);
    });

    test('nor is a directory open that cannot be read', async () => {
      const directory = join(root, 'files');
      writeFileSync(directory, 'a file');
      const { names, files } = start(directory);
      expect(names()).toEqual([directory]);
      unlinkSync(directory);
      mkdirSync(join(root, 'tmp'));
      writeFileSync(join(root, 'tmp', 'a.yaml'), 'nonsense');
      writeFileSync(join(root, 'tmp', 'b.yaml'), policy('b'));
      renameSync(join(root, 'tmp'), directory);
      await until(() => names().join() === 'a.yaml,b');
      expect([...files.keys()].sort()).toEqual(['a.yaml', 'b.yaml']);
    });
  });

  test('without notifications files are read all the same, and it is told', async () => {
    writeFileSync(join(root, 'a.yaml'), policy('a'));
    const seen = new Map<string, string>();
    let polling: string | undefined;
    let isExhausted = true;
    using watched = new DirectoryWatch({
      path: root,
      accepts: (name) => name.endsWith('.yaml'),
      bytesMax: 1000,
      filesMax: 10,
      onFiles: (files) => {
        for (const [name, content] of files) seen.set(name, content.kind);
      },
      onTrouble: (message) => expect(message).toBeUndefined(),
      onPolling: (message) => {
        polling = message;
      },
      watch: ((path: string, listener: () => void) => {
        if (isExhausted) throw Object.assign(new Error('no more'), { code: 'EMFILE' });
        return watch(path, listener);
      }) as typeof watch,
    });
    watched.start();
    expect([...seen]).toEqual([['a.yaml', 'text']]);
    expect(polling).toContain('EMFILE: no notifications: polling');
    writeFileSync(join(root, 'b.yaml'), policy('b'));
    unlinkSync(join(root, 'a.yaml'));
    await until(() => seen.get('b.yaml') === 'text' && seen.get('a.yaml') === 'deleted');
    isExhausted = false;
    await until(() => polling === undefined);
  });
});
