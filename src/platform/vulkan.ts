/** Whether a Vulkan driver may be there, without loading one. */

import { modules } from './files.js';

/** Where the Vulkan loader looks for drivers, beside what its environment variables name. */
const FOLDERS = ['/etc', '/usr/local/etc', '/usr/local/share', '/usr/share', '/etc/xdg', '/run/opengl-driver/share'];

/** Present where the kernel knows a GPU: Direct Rendering, NVIDIA, WSL, ARM Mali. */
const NODES = ['/dev/dri', '/dev/nvidia0', '/dev/nvidiactl', '/dev/dxg', '/dev/mali0'];

/**
 * True on Linux where neither a driver's manifest nor a GPU is found. Starting Dawn there gives no adapter, and it writes several
 * lines of warnings to stderr. In doubt false.
 */
export async function lacksVulkan(): Promise<boolean> {
  const { process } = globalThis as { process?: NodeJS.Process };
  if (process?.platform !== 'linux') return false;
  const fs = await modules('/dev');
  const { env } = process;
  const present = (path: string) =>
    fs.stat(path).then(
      () => true,
      () => false,
    );
  const paths = (name: string) => (env[name] ?? '').split(':').filter(Boolean);
  // These replace the usual places, each naming a manifest or a folder of them.
  const replaced = [...paths('VK_DRIVER_FILES'), ...paths('VK_ICD_FILENAMES')];
  const added = paths('VK_ADD_DRIVER_FILES');
  const usual = [
    ...FOLDERS,
    ...paths('XDG_DATA_DIRS'),
    ...paths('XDG_CONFIG_DIRS'),
    env.XDG_DATA_HOME ?? `${env.HOME}/.local/share`,
    env.XDG_CONFIG_HOME ?? `${env.HOME}/.config`,
  ].map((folder) => `${folder}/vulkan/icd.d`);
  const manifests = async (path: string): Promise<boolean> => {
    const names: string[] = await fs.readdir(path).catch(() => []);
    return names.some((name) => name.endsWith('.json'));
  };
  for (const path of [...(replaced.length ? replaced : usual), ...added])
    if ((path.endsWith('.json') && (await present(path))) || (await manifests(path))) return false;
  if (replaced.length) return true;
  for (const node of NODES) if (await present(node)) return false;
  return true;
}
