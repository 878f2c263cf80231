/**
 * Lets Dawn find the software Vulkan driver in Debian's chromium package, unless another driver is set, and gives each
 * test file a model cache of its own.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { SWIFTSHADER, WITHOUT_CHECKS, WITHOUT_CLEARING } from './vulkan_driver.js';

if (!process.env.VK_ICD_FILENAMES && !process.env.VK_DRIVER_FILES && existsSync(SWIFTSHADER)) {
  process.env.VK_ICD_FILENAMES = SWIFTSHADER;
}
process.env.XDG_RUNTIME_DIR ??= '/tmp';
process.env.AIM_DAWN ??= `${WITHOUT_CLEARING} ${WITHOUT_CHECKS}`;

const cache = mkdtempSync(join(tmpdir(), 'aim-cache-'));
process.env.AIM_CACHE = cache;
afterAll(() => rmSync(cache, { recursive: true, force: true }));
