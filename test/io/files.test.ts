import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { IoError } from '../../src/core/errors.js';
import { openFile } from '../../src/io/file_source.js';
import { ensureWritable, exists, fileError, isDirectory, readText, writeAtomic } from '../../src/platform/files.js';
import { writeFolderAtomic } from '../../src/platform/folders.js';
import { failure, temporaryFolder } from './helpers.js';

const folder = await temporaryFolder();
const fresh = async (name: string) => {
  const path = join(folder, name);
  await mkdir(path);
  return path;
};

async function* chunks(...parts: (Uint8Array | Error)[]): AsyncGenerator<Uint8Array> {
  for (const p of parts) {
    if (p instanceof Error) throw p;
    yield p;
  }
}

describe('reading', () => {
  it('distinguishes files, folders and missing paths', async () => {
    const path = join(folder, 'a.txt');
    await writeFile(path, 'hällo');
    expect(await readText(path)).toBe('hällo');
    expect([await exists(path), await exists(folder), await exists(join(folder, 'no')), await exists(join(path, 'x'))]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect([await isDirectory(path), await isDirectory(folder), await isDirectory(join(folder, 'no'))]).toEqual([
      false,
      true,
      false,
    ]);
  });

  it('an error names a missing path or a folder', async () => {
    for (const read of [openFile, readText]) {
      const missing = await failure(read(join(folder, 'none.bin')));
      expect(missing).toBeInstanceOf(IoError);
      expect(missing.message).toMatch(/^there is no folder or file .*none\.bin; pass/);
      expect((await failure(read(folder) as Promise<unknown>)).message).toMatch(/is a folder, not a file/);
    }
  });

  it('named pipes, sockets and devices are refused without being opened', async (context) => {
    if (process.platform === 'win32') context.skip('Windows has no such files');
    const pipe = join(folder, 'pipe.png');
    execFileSync('mkfifo', [pipe]);
    const socket = join(folder, 'socket.png');
    const server = createServer().listen(socket);
    await once(server, 'listening');
    for (const [path, what] of [
      [pipe, 'a named pipe'],
      [socket, 'a socket'],
      ['/dev/zero', 'a device'],
    ] as const)
      for (const read of [openFile, readText]) {
        const error = await failure(read(path) as Promise<unknown>);
        expect(error).toBeInstanceOf(IoError);
        expect(error.message).toBe(`${path} is ${what}, not a regular file; give the path of a file.`);
      }
    server.close();
  });

  it('a byte order mark is removed, and a size limit is enforced', async () => {
    const path = join(folder, 'mark.txt');
    await writeFile(path, '\uFEFFhällo\uFEFF');
    expect(await readText(path)).toBe('hällo\uFEFF');
    expect((await failure(readText(path, { most: 5 }))).message).toMatch(/mark\.txt has 12 bytes, more than the 5/);
  });

  it('a file that shrinks while it is read is an error', async () => {
    const path = join(folder, 'shrinks.bin');
    await writeFile(path, new Uint8Array(100));
    const source = await openFile(path);
    await truncate(path, 50);
    expect((await failure(source.read(20, 60))).message).toMatch(/shrinks\.bin ended at byte 50 of 100: it was cut/);
    await source.close();
  });
});

describe('writeAtomic', () => {
  it('writes bytes and streams, and replaces an existing file', async () => {
    const inside = await fresh('atomic');
    const path = join(inside, 'x.bin');
    await writeAtomic(path, new Uint8Array([1, 2]));
    expect([...(await readFile(path))]).toEqual([1, 2]);
    await writeAtomic(path, chunks(new Uint8Array([3]), new Uint8Array(0), new Uint8Array([4, 5])));
    expect([...(await readFile(path))]).toEqual([3, 4, 5]);
    expect(await readdir(inside)).toEqual(['x.bin']);
  });

  it('a failing or aborted stream leaves only the old file', async () => {
    const inside = await fresh('failing');
    const path = join(inside, 'x.bin');
    await writeFile(path, 'old');
    const cause = new Error('device lost');
    expect(await failure(writeAtomic(path, chunks(new Uint8Array(9), cause)))).toBe(cause);
    const control = new AbortController();
    const reason = new Error('enough');
    async function* aborting() {
      yield new Uint8Array(9);
      control.abort(reason);
      yield new Uint8Array(9);
    }
    expect(await failure(writeAtomic(path, aborting(), { signal: control.signal }))).toBe(reason);
    expect(await failure(writeAtomic(path, new Uint8Array(1), { signal: control.signal }))).toBe(reason);
    expect([await readdir(inside), await readText(path)]).toEqual([['x.bin'], 'old']);
  });

  it('refuses folders and places that do not exist', async () => {
    const inside = await fresh('refusing');
    expect((await failure(writeAtomic(inside, new Uint8Array(1)))).message).toMatch(
      /refusing is a folder, so no file can be written/,
    );
    const nowhere = join(inside, 'none', 'x.bin');
    expect((await failure(writeAtomic(nowhere, new Uint8Array(1)))).message).toMatch(
      /x\.bin cannot be written: its folder does not exist; create/,
    );
    await writeFile(join(inside, 'file'), '');
    expect((await failure(writeAtomic(join(inside, 'file', 'x'), new Uint8Array(1)))).message).toMatch(
      /a part of this path is a file/,
    );
    expect(await readdir(inside)).toEqual(['file']);
  });
});

it('a new folder may be written with a separator at its end', async () => {
  const inside = await fresh('slash');
  await writeFolderAtomic(join(inside, 'new/'), [{ name: 'a', data: new Uint8Array(3) }]);
  expect([await readdir(inside), await readdir(join(inside, 'new'))]).toEqual([['new'], ['a']]);
});

describe('ensureWritable', () => {
  it('removes what killed processes left there long ago, and nothing else', async () => {
    const inside = await fresh('left');
    const dead = 4_194_999; // above the largest process id of Linux
    const names = [`x.png.${dead}-ab1.tmp`, `y.png.${dead}-ab1.tmp`, `x.png.${process.pid}-ab1.tmp`, 'x.png', 'notes.tmp'];
    const hoursAgo = new Date(Date.now() - 2 * 3_600_000);
    for (const name of [...names, `x.png.${dead}-new.tmp`]) {
      await writeFile(join(inside, name), '');
      if (!name.includes('new')) await utimes(join(inside, name), hoursAgo, hoursAgo);
    }
    const now = new Date();
    await utimes(join(inside, names[2]!), now, now);
    await mkdir(join(inside, `x.png.${dead}-cd2.tmp`));
    await utimes(join(inside, `x.png.${dead}-cd2.tmp`), hoursAgo, hoursAgo);
    // Of one file: only its own. A young one may be another machine's.
    await ensureWritable(join(inside, 'x.png'));
    expect(await readdir(inside)).toEqual([...names.slice(1), `x.png.${dead}-new.tmp`].sort());
    await ensureWritable(inside);
    expect(await readdir(inside)).toEqual([...names.slice(2), `x.png.${dead}-new.tmp`].sort());
  });

  it('accepts a writable path and leaves no file', async () => {
    const inside = await fresh('writable');
    await writeFile(join(inside, 'old'), 'old');
    const before = (await stat(join(inside, 'old'))).mtimeMs;
    for (const path of [inside, join(inside, 'new'), join(inside, 'old')]) await ensureWritable(path);
    expect(await readdir(inside)).toEqual(['old']);
    expect((await stat(join(inside, 'old'))).mtimeMs).toBe(before);
  });

  it('refuses a missing folder', async () => {
    expect((await failure(ensureWritable(join(folder, 'none', 'x')))).message).toMatch(
      /none.x cannot be written: its folder does not exist/,
    );
  });

  it('refuses a folder without permission', async (context) => {
    const inside = await fresh('locked');
    await chmod(inside, 0o555);
    await chmod(folder, 0o755);
    // Root may write anywhere, so it steps down for this test.
    const root = process.geteuid?.() === 0;
    if (process.platform === 'win32') context.skip('Windows has no such permissions');
    if (root) process.seteuid!(65534);
    try {
      for (const path of [inside, join(inside, 'x')]) {
        const error = await failure(ensureWritable(path));
        expect(error).toBeInstanceOf(IoError);
        expect(error.message.startsWith(`${path} may not be written: permission denied; change`)).toBe(true);
      }
    } finally {
      if (root) process.seteuid!(0);
      await chmod(inside, 0o755);
    }
  });
});

it.each([
  ['ENOSPC', 'write', /^\/p cannot be written: the disk is full; free/],
  ['EROFS', 'write', /^\/p cannot be written: it is on a read-only file system; choose/],
  ['EACCES', 'read', /^\/p may not be read: permission denied; .*copy it\.$/],
  ['EPERM', 'write', /^\/p may not be written: permission denied/],
  ['EISDIR', 'read', /^\/p is a folder, not a file/],
  ['ENAMETOOLONG', 'write', /shorter/],
  ['EIO', 'read', /^\/p cannot be read: message of EIO; check/],
] as const)('%s on %s in plain words', (code, action, message) => {
  const cause = Object.assign(new Error(`message of ${code}`), { code });
  const error = fileError(cause, '/p', action);
  expect(error).toBeInstanceOf(IoError);
  expect(error.message).toMatch(message);
  expect(error.cause).toBe(cause);
});

it('a Deno permission error names the flag', () => {
  const cause = Object.assign(new Error('Requires read access'), { name: 'NotCapable' });
  expect(fileError(cause, '/p', 'read').message).toMatch(/run it with --allow-read\.$/);
});
