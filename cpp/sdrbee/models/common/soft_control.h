// Control networks that give way to the prompt at higher resolutions.
#pragma once

#include "sdrbee/models/control_network.h"

namespace sdrbee {

/// Weakens what a network adds to a UNet as A1111's ControlNet extension does in its modes "My
/// prompt is more important" and "ControlNet is more important": a ControlNet's residual i, counted
/// from the highest resolution with the middle block's as the last one, by 0.825^(12 - i), so that
/// the middle of a UNet with 12 skip connections keeps all and that of XL, with 9, 0.825^3; a
/// T2I-Adapter's features by 0.25, 0.62, 0.825 and 1.
/// https://github.com/Mikubill/sd-webui-controlnet/blob/main/scripts/hook.py
void soften(ControlResiduals& residuals);

}  // namespace sdrbee
