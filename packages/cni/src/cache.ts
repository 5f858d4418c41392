import type { Attachment } from './attachment.ts';

/** An attachment as the result cache knows it. */
export interface CachedAttachment extends Attachment {
  network: string;
}
