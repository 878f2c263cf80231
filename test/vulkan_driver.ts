/** The software Vulkan driver that comes with Debian's Chromium (package chromium-common). */
export const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';

/** The one in Debian's mesa-vulkan-drivers. Deno trains with it in a fifth of the time; Dawn does not accept Mesa 22. */
export const LAVAPIPE = '/usr/share/vulkan/icd.d/lvp_icd.x86_64.json';

/**
 * It takes seconds to compile a kernel whose workgroup memory the driver is to clear; without this feature Dawn, in Node and in
 * Chromium, has the kernel do it in a loop, which takes none.
 */
export const WITHOUT_CLEARING = 'disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension';

/**
 * Kernels without a check of every index, which take a fifth less time on a software GPU. The tests of runtimes and of pages run with
 * the checks.
 */
export const WITHOUT_CHECKS = 'enable-dawn-features=disable_robustness';
