/** Lets Dawn find the software Vulkan driver that Debian's chromium brings, unless a driver is already chosen. */
import { existsSync } from 'node:fs';

const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';
if (!process.env.VK_ICD_FILENAMES && !process.env.VK_DRIVER_FILES && existsSync(SWIFTSHADER)) {
  process.env.VK_ICD_FILENAMES = SWIFTSHADER;
}
process.env.XDG_RUNTIME_DIR ??= '/tmp';
