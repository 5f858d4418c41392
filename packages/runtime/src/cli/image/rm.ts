import { defineCommand } from '../command.ts';
import { CliError } from '../errors.ts';
import { forEachOperand } from '../for-each-operand.ts';
import { imageSpec } from '../image-spec.ts';

export const command = defineCommand({
  name: 'rmi',
  summary: 'Remove images',
  operands: 'IMAGE...',
  arity: [1, Number.POSITIVE_INFINITY],
  options: {},
  details: `An image goes with all its names, whichever is given.

Examples:
  amphipod rmi docker.io/library/busybox:latest`,
  run(operands, _options, { client, stdout, stderr }) {
    return forEachOperand(operands, { stderr, command: 'rmi' }, async (reference) => {
      const { images } = await client();
      const { image } = await images.imageStatus({ image: imageSpec(reference), verbose: false });
      if (image === undefined) throw new CliError(`no such image "${reference}"`);
      await images.removeImage({ image: imageSpec(reference) });
      for (const tag of image.repoTags) stdout.write(`${tag}\n`);
      stdout.write(`${image.id}\n`);
    });
  },
});
